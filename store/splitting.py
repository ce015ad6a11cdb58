"""Brings files of schema version 1 forward: settled relations lay in one table each, now a day has its own."""

import logging

import duckdb

from store import days, definitions, generations, schemas
from store.calendar import NANOSECONDS_PER_DAY

_log = logging.getLogger(__name__)


def split_settled(cursor: duckdb.DuckDBPyConnection) -> None:
    """Move current rows of ``<relation>_rows`` into day tables, in the caller's transaction; nothing in newer files."""
    old = [name for name in definitions.BY_DAY if _is_there(cursor, f"{name}_rows")]
    for relation in old:
        _split(cursor, relation)
        cursor.execute(f"DROP VIEW IF EXISTS {relation}")
        cursor.execute(f"DROP TABLE {relation}_rows")


def _split(cursor: duckdb.DuckDBPyConnection, relation: str) -> None:
    table = f"{relation}_rows"
    schemas.add_missing_columns(cursor, relation, table)
    found = cursor.execute(f"SELECT DISTINCT bucket_ns // {NANOSECONDS_PER_DAY} FROM {table} ORDER BY ALL").fetchall()
    for (day,) in found:
        name = days.table_name(relation, int(day))
        cursor.execute(definitions.table(relation, name))
        rows = generations.newest_of(table, relation, int(day))
        inside = generations.buckets_of(int(day))
        cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {rows} WHERE {inside} ORDER BY started_at")
        _log.info("moved rows of %s to %s", relation, name)


def _is_there(cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
    return bool(cursor.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall())
