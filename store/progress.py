"""How far the collector's spool is in the store: a number that rises with every transaction that holds spooled rows."""

from typing import Final

import duckdb

from store import definitions

TABLE: Final = "spool_progress"
KEPT_ROWS: Final = 10_000


def reached(cursor: duckdb.DuckDBPyConnection) -> int:
    """The highest sequence number that is committed, 0 before the first."""
    return int(cursor.execute(f"SELECT coalesce(max(sequence), 0) FROM {TABLE}").fetchall()[0][0])


def advance(cursor: duckdb.DuckDBPyConnection, sequence: int) -> None:
    """Note ``sequence`` in the caller's transaction."""
    cursor.execute(f"INSERT INTO {TABLE} VALUES (?)", [sequence])


def is_long(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether there are so many numbers that ``shorten`` is worth it."""
    return bool(cursor.execute(f"SELECT count(*) > {KEPT_ROWS} FROM {TABLE}").fetchall()[0][0])


def shorten(cursor: duckdb.DuckDBPyConnection) -> None:
    """Keep the highest number only, once there are many: a new table in place of the old one, as nothing is deleted."""
    if not is_long(cursor):
        return
    cursor.execute(definitions.table(TABLE, f"{TABLE}_fresh"))
    cursor.execute(f"INSERT INTO {TABLE}_fresh SELECT max(sequence) FROM {TABLE}")
    cursor.execute(f"DROP TABLE {TABLE}")
    cursor.execute(f"ALTER TABLE {TABLE}_fresh RENAME TO {TABLE}")
