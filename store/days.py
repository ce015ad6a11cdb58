"""Day tables: raw rows by UTC day of arrival, settled rows by the day of their bucket."""

import datetime
import re
from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from store.calendar import NANOSECONDS_PER_DAY, date_of, day_of


def table_name(relation: str, day: int) -> str:
    """The day table of ``day``, counted in days since 1970-01-01 UTC: ``spans_20261120``."""
    return f"{relation}_{date_of(day):%Y%m%d}"


def split(table: pa.Table, by: str = "received_ns") -> Iterator[tuple[int, pa.Table]]:
    """The rows of ``table`` by UTC day of the column ``by``; almost always it is one day and nothing is copied."""
    if not table.num_rows:
        return
    moments = table.column(by)
    extremes = pc.min_max(moments).as_py()
    first, last = extremes["min"] // NANOSECONDS_PER_DAY, extremes["max"] // NANOSECONDS_PER_DAY
    if first == last:
        yield first, table
        return
    days = pc.divide(moments, NANOSECONDS_PER_DAY)
    for day in sorted(pc.unique(days).to_pylist()):
        yield day, table.filter(pc.equal(days, day))


def existing(cursor: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    """The day tables of ``relation``, oldest first."""
    pattern = re.compile(rf"{relation}_\d{{8}}")
    names = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() ORDER BY table_name"
    ).fetchall()
    return [name for (name,) in names if pattern.fullmatch(name)]


def day_of_table(name: str) -> int:
    """The day of a day table, from its name."""
    return day_of(datetime.datetime.strptime(name[-8:], "%Y%m%d").date())
