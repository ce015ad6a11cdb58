"""Roll-ups by the hour: one table each, of which the manifest names the current generation of every hour.

A day of them is a few hundred rows where a day of requests is hundreds of thousands, so they stay in the database when
their day is sealed, and what is stale or forgotten is left out by writing the table anew. A table per day would cost
every question the planning of each of them.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

import duckdb
import pyarrow as pa

from store import archive, days, definitions, generations
from store.calendar import NANOSECONDS_PER_DAY
from store.generations import RelationDay

STALE_SHARE: Final = 0.5
SINCE_VERSION: Final = 4
"""Of the schema: before it roll-ups lay in day tables."""


def table_name(relation: str) -> str:
    """The table of the roll-up ``relation``."""
    return f"{relation}_summed"


def homes(relation: str, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of ``table`` of a settled relation by the name of the table they lie in."""
    if relation in definitions.ROLLED_UP:
        yield table_name(relation), table
        return
    for day, rows in days.split(table, "bucket_ns"):
        yield days.table_name(relation, day), rows


def is_there(cursor: duckdb.DuckDBPyConnection, relation: str) -> bool:
    """Whether the file has the table: of an older release it has not."""
    sql = "SELECT 1 FROM duckdb_tables() WHERE table_name = ?"
    return bool(cursor.execute(sql, [table_name(relation)]).fetchall())


def source(relation: str) -> str:
    """What a SELECT reads of the rows that readers see, bookkeeping included."""
    return generations.newest_of(table_name(relation), relation)


def summed_days(cursor: duckdb.DuckDBPyConnection) -> set[RelationDay]:
    """The days of which roll-ups have hours, emptied ones too."""
    names = ", ".join(f"'{name}'" for name in definitions.ROLLED_UP)
    sql = f"SELECT DISTINCT relation, bucket_ns // {NANOSECONDS_PER_DAY} FROM manifest WHERE relation IN ({names})"
    return {(str(relation), int(day)) for relation, day in cursor.execute(sql).fetchall()}


def stale(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The roll-ups whose table is worth writing anew: half of its rows are of hours summed again or emptied."""
    return [name for name in definitions.ROLLED_UP if _stale_share(cursor, name) >= STALE_SHARE]


def rewrite(cursor: duckdb.DuckDBPyConnection, relation: str) -> None:
    """Keep the current rows only, in order of time, in the caller's transaction."""
    name = table_name(relation)
    fresh = f"{name}{generations.FRESH}"
    cursor.execute(definitions.table(relation, fresh))
    cursor.execute(f"INSERT INTO {fresh} BY NAME SELECT * FROM {source(relation)} ORDER BY started_at")
    generations.put_in_place(cursor, fresh, name)


def forget(cursor: duckdb.DuckDBPyConnection, gone_days: Collection[int]) -> None:
    """Take the hours of ``gone_days`` out of the database, in the caller's transaction."""
    gone = {(relation, day) for relation, day in summed_days(cursor) if day in gone_days}
    if not gone:
        return
    generations.rewrite_manifest(cursor, without=gone)
    for relation in {relation for relation, _ in gone}:
        rewrite(cursor, relation)


def drop_daily(cursor: duckdb.DuckDBPyConnection) -> None:
    """Bring files of schema version 3 forward, in the caller's transaction: there roll-ups lay in a table per day.

    Durations were counted in another form, so all are dropped, archived ones too, and upkeep sums the hours anew.
    """
    pattern = re.compile(rf"(?:{'|'.join(definitions.ROLLED_UP)})_\d{{8}}")
    names = [name for (name,) in cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    for name in filter(pattern.fullmatch, names):
        cursor.execute(f"DROP TABLE {name}")
    archived = [file.path for file in archive.listed(cursor) if file.relation in definitions.ROLLED_UP]
    if archived:
        archive.replace(cursor, archived, [])
    if summed_days(cursor):
        generations.rewrite_manifest(cursor, without=summed_days(cursor))


def _stale_share(cursor: duckdb.DuckDBPyConnection, relation: str) -> float:
    total = cursor.execute(f"SELECT count(*) FROM {table_name(relation)}").fetchall()[0][0]
    seen = cursor.execute(f"SELECT count(*) FROM {source(relation)}").fetchall()[0][0]
    return 1 - seen / total if total else 0.0
