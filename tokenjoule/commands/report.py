"""``tokenjoule report``: text for people."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from tokenjoule.commands.options import POSITIVE, DataDirectory, StoreUrl, store_url

app = typer.Typer(help="Reports for the weekly review.", no_args_is_help=True)


@app.callback()
def reports() -> None:
    """Reports for the weekly review."""


@app.command()
def summary(
    url: StoreUrl = None,
    data: DataDirectory = None,
    hours: Annotated[
        float, typer.Option(min=POSITIVE, help="Length of the window that ends now; the one before stands beside it.")
    ] = 168.0,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Budgets from this file.")] = None,
) -> None:
    """The five numbers, last period beside them, by tier, with the energy balance. Markdown."""
    from analytics.reports import summary as report
    from store import reading

    end = datetime.now(UTC).replace(tzinfo=None)
    with reading.open(store_url(url, data)) as reader:
        typer.echo(report.text(reader, end - timedelta(hours=hours), end, config))
