"""Settled rows by time bucket and generation: what a bucket holds is what its newest generation wrote.

A day of a relation is *open* while the manifest lists its buckets: readers then see the newest generation of each. A
*closed* day has no row in the manifest, and all rows of its table are current.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from conventions.errors import StoreError
from store import days, definitions
from store.calendar import NANOSECONDS_PER_DAY, NANOSECONDS_PER_HOUR

Buckets = dict[str, Sequence[int]]
RelationDay = tuple[str, int]
FRESH: Final = "_fresh"
"""How the name of a copy ends that is to take the place of a day's table."""


def with_bucket(table: pa.Table) -> pa.Table:
    """``table`` with ``bucket_ns``: its own, else the UTC minute of ``started_at``."""
    if "bucket_ns" in table.column_names:
        return table
    minute = pc.floor_temporal(_utc_microseconds(table.column("started_at")), unit="minute")
    return table.append_column("bucket_ns", minute.cast(pa.timestamp("ns")).cast(pa.int64()))


def stamped(table: pa.Table, generation: int) -> pa.Table:
    """``table`` with its ``generation``."""
    return table.append_column("generation", pa.array([generation] * table.num_rows, pa.int64()))


def check(tables: dict[str, pa.Table], buckets: Buckets) -> None:
    """Raises ``StoreError`` for a relation that is not settled, and for rows whose bucket is not listed.

    Such rows would be written and never seen.
    """
    for relation in {*tables, *buckets}:
        if relation not in definitions.SETTLED:
            raise StoreError(f"{relation!r} is not a settled relation: choose from {', '.join(definitions.SETTLED)}")
    for relation, table in tables.items():
        stray = set(pc.unique(table.column("bucket_ns")).to_pylist()) - set(buckets.get(relation, ()))
        if stray:
            raise StoreError(f"{relation} has rows of buckets that are not being replaced: {sorted(stray)[:3]}")


def with_hours(buckets: Buckets, summed: set[RelationDay]) -> Buckets:
    """``buckets``, and the hours that roll-ups have of them, on days ``summed``: they are replaced by nothing."""
    found = dict(buckets)
    for relation, sources in definitions.ROLLED_UP.items():
        replaced = {bucket for source in sources for bucket in buckets.get(source, ())}
        hours = {bucket // NANOSECONDS_PER_HOUR * NANOSECONDS_PER_HOUR for bucket in replaced}
        stale = {hour for hour in hours if (relation, hour // NANOSECONDS_PER_DAY) in summed}
        if stale:
            found[relation] = sorted(stale.union(buckets.get(relation, ())))
    return found


def are_as_of(cursor: duckdb.DuckDBPyConnection, hours: Buckets, generation: int) -> bool:
    """Whether nothing that the roll-ups of ``hours`` are summed from was replaced after ``generation``."""
    sql = (
        "SELECT 1 FROM manifest WHERE generation > $generation AND list_contains($sources::VARCHAR[], relation)"
        f" AND list_contains($hours::BIGINT[], bucket_ns // {NANOSECONDS_PER_HOUR} * {NANOSECONDS_PER_HOUR}) LIMIT 1"
    )
    for relation, listed in hours.items():
        named = {"generation": generation, "sources": list(definitions.ROLLED_UP[relation]), "hours": list(listed)}
        if cursor.execute(sql, named).fetchall():
            return False
    return True


def listed_days(buckets: Buckets) -> set[RelationDay]:
    """The days that ``buckets`` lie in, by relation."""
    return {(relation, bucket // NANOSECONDS_PER_DAY) for relation, listed in buckets.items() for bucket in listed}


def open_days(cursor: duckdb.DuckDBPyConnection, relation: str) -> set[int]:
    """The days of ``relation`` that the manifest lists, counted from 1970-01-01 UTC."""
    sql = f"SELECT DISTINCT bucket_ns // {NANOSECONDS_PER_DAY} FROM manifest WHERE relation = ?"
    return {int(day) for (day,) in cursor.execute(sql, [relation]).fetchall()}


def open_day(cursor: duckdb.DuckDBPyConnection, relation: str, day: int) -> None:
    """Make ``day`` ready for a new generation: its table is there, and the manifest lists the buckets it has."""
    name = days.table_name(relation, day)
    cursor.execute(definitions.table(relation, name))
    cursor.execute(
        f"INSERT INTO manifest BY NAME SELECT DISTINCT '{relation}' AS relation, bucket_ns, generation FROM {name}"
    )


def newest(cursor: duckdb.DuckDBPyConnection) -> int:
    """The highest generation ever written, 0 without any; that of a closed day is in its table only."""
    tables = [name for relation in definitions.BY_DAY for name in days.existing(cursor, relation)]
    highest = [f"(SELECT coalesce(max(generation), 0) FROM {name})" for name in ["manifest", *tables]]
    return max(int(cursor.execute(f"SELECT {one}").fetchall()[0][0]) for one in highest)


def manifest_rows(buckets: Buckets, generation: int) -> pa.Table:
    """The manifest rows that make ``generation`` the current one of each bucket."""
    pairs = [(relation, bucket) for relation, listed in buckets.items() for bucket in dict.fromkeys(listed)]
    return pa.table(
        {
            "relation": pa.array([relation for relation, _ in pairs], pa.string()),
            "bucket_ns": pa.array([bucket for _, bucket in pairs], pa.int64()),
            "generation": pa.array([generation] * len(pairs), pa.int64()),
        }
    )


def buckets_of(day: int) -> str:
    """The SQL condition that ``bucket_ns`` lies in ``day``, counted from 1970-01-01 UTC."""
    return f"bucket_ns >= {day * NANOSECONDS_PER_DAY} AND bucket_ns < {(day + 1) * NANOSECONDS_PER_DAY}"


def current(relation: str, day: int, is_open: bool) -> str:
    """The SELECT of the rows of a day's table that readers see, bookkeeping included."""
    return f"SELECT * FROM {source(relation, day, is_open)}"


def source(relation: str, day: int, is_open: bool) -> str:
    """What a SELECT of them reads: a view that names its columns there is planned in a third of the time."""
    table = days.table_name(relation, day)
    return newest_of(table, relation, day) if is_open else table


def newest_of(table: str, relation: str, day: int | None = None) -> str:
    """What a SELECT reads of the rows of ``table`` that the manifest's buckets name, those of ``day`` or all."""
    listed = f"relation = '{relation}'" + (f" AND {buckets_of(day)}" if day is not None else "")
    return (
        f"{table} SEMI JOIN"
        f" (SELECT bucket_ns, max(generation) AS generation FROM manifest WHERE {listed} GROUP BY bucket_ns)"
        " AS current_generation USING (bucket_ns, generation)"
    )


def not_again(relation: str, day: int, archived: str) -> str:
    """The SELECT of archived rows of a day that was settled again in part: the manifest's buckets win."""
    again = f"(SELECT bucket_ns FROM manifest WHERE relation = '{relation}' AND {buckets_of(day)})"
    return f"SELECT * FROM {archived} ANTI JOIN {again} AS again USING (bucket_ns)"


def newest_in_day(cursor: duckdb.DuckDBPyConnection, relation: str, day: int) -> int:
    """The highest generation that the manifest lists for ``day``, 0 for a closed day."""
    sql = f"SELECT coalesce(max(generation), 0) FROM manifest WHERE relation = ? AND {buckets_of(day)}"
    return int(cursor.execute(sql, [relation]).fetchall()[0][0])


def stale_share(cursor: duckdb.DuckDBPyConnection, relation: str, day: int) -> float:
    """The share of an open day's rows that no reader sees any more."""
    total = cursor.execute(f"SELECT count(*) FROM {days.table_name(relation, day)}").fetchall()[0][0]
    seen = cursor.execute(f"SELECT count(*) FROM ({current(relation, day, is_open=True)})").fetchall()[0][0]
    return 1 - seen / total if total else 0.0


def rewrite_manifest(cursor: duckdb.DuckDBPyConnection, without: Iterable[RelationDay] = ()) -> None:
    """Keep only the newest generation of each bucket, and nothing of the days ``without``.

    The table is made anew, because deletions in a write-ahead log are what its replay has failed on.
    """
    gone = [f"(relation = '{relation}' AND {buckets_of(day)})" for relation, day in without]
    cursor.execute(definitions.table("manifest", "manifest_fresh"))
    cursor.execute(
        "INSERT INTO manifest_fresh BY NAME SELECT relation, bucket_ns, max(generation) AS generation FROM manifest"
        f" WHERE NOT ({' OR '.join(gone) or 'false'}) GROUP BY ALL ORDER BY ALL"
    )
    put_in_place(cursor, "manifest_fresh", "manifest")


def drop_leftovers(cursor: duckdb.DuckDBPyConnection) -> None:
    """Drop copies that an interruption left behind."""
    names = cursor.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE ?", [f"%{FRESH}"]).fetchall()
    for (name,) in names:
        cursor.execute(f"DROP TABLE {name}")


def put_in_place(cursor: duckdb.DuckDBPyConnection, fresh: str, name: str) -> None:
    """Make the table ``fresh`` the table ``name``: dropping gives space back, deleting does not."""
    cursor.execute(f"DROP TABLE {name}")
    cursor.execute(f"ALTER TABLE {fresh} RENAME TO {name}")


def _utc_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us"), safe=False)
