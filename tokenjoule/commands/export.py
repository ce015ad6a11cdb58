"""``tokenjoule export``: what the store knows, in other people's formats."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import pyarrow.csv
import pyarrow.parquet
import typer

from conventions.errors import SettingsError
from tokenjoule.commands.options import DataDirectory, StoreUrl, store_url

app = typer.Typer(help="Exports for other tools.", no_args_is_help=True)


@app.callback()
def exports() -> None:
    """Exports for other tools."""


@app.command()
def focus(
    begin: Annotated[datetime, typer.Option("--from", help="First day, UTC.", formats=["%Y-%m-%d"])],
    end: Annotated[datetime, typer.Option("--to", help="Last day, UTC, included.", formats=["%Y-%m-%d"])],
    out: Annotated[Path, typer.Option("--out", "-o", help="File that ends in .csv or .parquet.")],
    account: Annotated[str, typer.Option(help="Billing account and provider that the rows name.")] = "tokenjoule",
    url: StoreUrl = None,
    data: DataDirectory = None,
) -> None:
    """Daily cost and usage by tenant, model and engine in the columns of FinOps FOCUS 1.2 and 1.3."""
    from analytics.exports import focus as export
    from analytics.metric import Window
    from store import reading

    if out.suffix not in (".csv", ".parquet"):
        raise SettingsError(f"cannot tell the format of {out.name!r}: end it in .csv or .parquet")
    if end < begin:
        raise SettingsError(f"--to {end:%Y-%m-%d} is before --from {begin:%Y-%m-%d}")
    with reading.open(store_url(url, data)) as reader:
        rows = export.rows(reader, Window(begin, end + timedelta(days=1)), account)
    if out.suffix == ".csv":
        pyarrow.csv.write_csv(export.as_text(rows), out)
    else:
        pyarrow.parquet.write_table(rows, out, compression="zstd")
    typer.echo(f"{rows.num_rows} rows written to {out}")
