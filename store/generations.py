"""Settled rows by time bucket and generation: what a bucket holds is what its newest generation wrote."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from conventions.errors import StoreError
from store import definitions
from store.calendar import NANOSECONDS_PER_DAY

Buckets = dict[str, Sequence[int]]


def with_bucket(table: pa.Table) -> pa.Table:
    """``table`` with ``bucket_ns``: its own, else the UTC minute of ``started_at``."""
    if "bucket_ns" in table.column_names:
        return table
    minute = pc.floor_temporal(_utc_microseconds(table.column("started_at")), unit="minute")
    return table.append_column("bucket_ns", minute.cast(pa.timestamp("ns")).cast(pa.int64()))


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


def newest(cursor: duckdb.DuckDBPyConnection) -> int:
    """The highest generation ever written, 0 without any."""
    return int(cursor.execute("SELECT coalesce(max(generation), 0) FROM manifest").fetchall()[0][0])


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


def current(relation: str, only: str = "true") -> str:
    """The SELECT of hot rows that readers see, bookkeeping included, of buckets for which ``only`` holds."""
    return (
        f"SELECT * FROM {relation}_rows SEMI JOIN"
        f" (SELECT bucket_ns, max(generation) AS generation FROM manifest"
        f" WHERE relation = '{relation}' AND ({only}) GROUP BY bucket_ns)"
        " AS current_generation USING (bucket_ns, generation)"
    )


def stale_share(cursor: duckdb.DuckDBPyConnection, relation: str) -> float:
    """The share of a relation's hot rows that no reader sees any more."""
    total = cursor.execute(f"SELECT count(*) FROM {relation}_rows").fetchall()[0][0]
    seen = cursor.execute(f"SELECT count(*) FROM ({current(relation)})").fetchall()[0][0]
    return 1 - seen / total if total else 0.0


def rewrite(cursor: duckdb.DuckDBPyConnection, relation: str, without: str = "false") -> None:
    """Keep only current rows, by a new table in place of the old one: dropping gives space back, deleting does not.

    Buckets for which the condition ``without`` holds are left out.
    """
    fresh = f"{relation}_fresh"
    cursor.execute(definitions.table(relation, fresh))
    kept = current(relation, f"NOT ({without})")
    cursor.execute(f"INSERT INTO {fresh} BY NAME {kept} ORDER BY started_at")
    _put_in_place(cursor, fresh, f"{relation}_rows")


def rewrite_manifest(cursor: duckdb.DuckDBPyConnection, without: str = "false") -> None:
    """Keep only the newest generation of each bucket, of those for which the condition ``without`` does not hold."""
    cursor.execute(definitions.table("manifest", "manifest_fresh"))
    cursor.execute(
        "INSERT INTO manifest_fresh BY NAME SELECT relation, bucket_ns, max(generation) AS generation FROM manifest"
        f" WHERE NOT ({without}) GROUP BY ALL ORDER BY ALL"
    )
    _put_in_place(cursor, "manifest_fresh", "manifest")


def _put_in_place(cursor: duckdb.DuckDBPyConnection, fresh: str, name: str) -> None:
    cursor.execute(f"DROP TABLE {name}")
    cursor.execute(f"ALTER TABLE {fresh} RENAME TO {name}")


def _utc_microseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("us"), safe=False)
