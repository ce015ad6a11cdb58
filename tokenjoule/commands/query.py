"""``tokenjoule query``: one read-only statement against a collector or a data folder."""

import io
import sys
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer
from rich.console import Console
from rich.table import Table

from tokenjoule.commands.options import DataDirectory, StoreUrl, store_url

MAX_TABLE_ROWS = 200


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; relations: requests, attempts, energy_intervals, spans, …")],
    url: StoreUrl = None,
    data: DataDirectory = None,
    output: Annotated[str, typer.Option("--format", "-f", help="table, json, csv or parquet.")] = "table",
    to: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the result; default standard output.")
    ] = None,
) -> None:
    """Run one read-only SQL statement."""
    from conventions import plugins
    from conventions.errors import SettingsError
    from store import reading

    if output not in WRITERS:
        raise SettingsError(plugins.unknown("format", output, list(WRITERS)))
    if output == "parquet" and to is None and sys.stdout.isatty():
        raise SettingsError("parquet is binary: name a file with --output FILE, or pipe it")
    with reading.open(store_url(url, data)) as reader:
        result = reader.query(sql)
    rendered = WRITERS[output](result)
    if to:
        to.write_bytes(rendered)
    else:
        sys.stdout.buffer.write(rendered)
        sys.stdout.buffer.flush()


def _table(result: pa.Table) -> bytes:
    table = Table(*result.column_names, header_style="bold")
    for row in result.slice(0, MAX_TABLE_ROWS).to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    text = io.StringIO()
    console = Console(file=text, width=None if sys.stdout.isatty() else 200, force_terminal=sys.stdout.isatty())
    console.print(table)
    if result.num_rows > MAX_TABLE_ROWS:
        console.print(f"{MAX_TABLE_ROWS} of {result.num_rows} rows; --format csv gives all")
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return "[dim]–[/]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _json(result: pa.Table) -> bytes:
    import json

    return (json.dumps(result.to_pylist(), default=str, indent=1) + "\n").encode()


def _csv(result: pa.Table) -> bytes:
    flat = [
        column.cast(pa.string())
        if not pa.types.is_nested(column.type)
        else pa.array([str(item) for item in column.to_pylist()])
        for column in result.columns
    ]
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(flat, names=result.column_names), sink)
    return sink.getvalue()


def _parquet(result: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(result, sink, compression="zstd")
    return sink.getvalue()


WRITERS = {"table": _table, "json": _json, "csv": _csv, "parquet": _parquet}
