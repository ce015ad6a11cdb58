"""How far settlement has come, kept for the next start: one moment by name, as its last whole pass left them."""

from collections.abc import Mapping
from typing import Final

import duckdb

from store import definitions

TABLE: Final = "settle_progress"
KEPT_ROWS: Final = 10_000


def reached(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The moments of the newest pass; empty before the first."""
    sql = f"SELECT relation, until_ns FROM {TABLE} WHERE pass = (SELECT max(pass) FROM {TABLE})"
    return dict(cursor.execute(sql).fetchall())


def note(cursor: duckdb.DuckDBPyConnection, marks: Mapping[str, int]) -> None:
    """Make ``marks`` the newest, in the caller's transaction."""
    listed = list(marks.items())
    named = {"relations": [name for name, _ in listed], "moments": [moment for _, moment in listed]}
    cursor.execute(
        f"INSERT INTO {TABLE} SELECT coalesce((SELECT max(pass) FROM {TABLE}), 0) + 1,"
        " unnest($relations::VARCHAR[]), unnest($moments::BIGINT[])",
        named,
    )


def shorten(cursor: duckdb.DuckDBPyConnection) -> None:
    """Keep the newest only, once there are many: a new table in place of the old one, as nothing is deleted."""
    if cursor.execute(f"SELECT count(*) <= {KEPT_ROWS} FROM {TABLE}").fetchall()[0][0]:
        return
    cursor.execute(definitions.table(TABLE, f"{TABLE}_fresh"))
    cursor.execute(f"INSERT INTO {TABLE}_fresh FROM {TABLE} WHERE pass = (SELECT max(pass) FROM {TABLE})")
    cursor.execute(f"DROP TABLE {TABLE}")
    cursor.execute(f"ALTER TABLE {TABLE}_fresh RENAME TO {TABLE}")
