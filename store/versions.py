"""The schema version of a database file: newer ones are refused, older ones brought forward.

Bringing forward has two parts: numbered files in ``store/migrations`` for what needs thought, and columns that a table
file gained at its end, which are added to existing tables as NULL.
"""

from pathlib import Path
from typing import Final

import duckdb

from conventions.errors import StoreTooNew
from store import definitions, hours, schemas, splitting

SCHEMA_VERSION: Final = 4
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def check(cursor: duckdb.DuckDBPyConnection, file: Path) -> int:
    """The version of ``file``, 0 for a new one. Raises ``StoreTooNew``."""
    if not _exists(cursor, "schema_version"):
        return 0
    found = cursor.execute("SELECT max(version) FROM schema_version").fetchall()[0][0] or 0
    if found > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{file} has schema version {found}, this tokenjoule knows {SCHEMA_VERSION}: upgrade tokenjoule"
        )
    return int(found)


def bring_forward(cursor: duckdb.DuckDBPyConnection, found: int) -> None:
    """Create what is missing, run the migrations after version ``found`` and record it, in the caller's transaction."""
    cursor.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    for relation, name in _fixed_tables():
        cursor.execute(definitions.table(relation, name))
        schemas.add_missing_columns(cursor, relation, name)
    splitting.split_settled(cursor)
    if found < hours.SINCE_VERSION:
        hours.drop_daily(cursor)
    if found:
        for migration in _later(MIGRATIONS, found):
            cursor.execute(migration.read_text(encoding="utf-8"))
    if found != SCHEMA_VERSION:
        cursor.execute("INSERT INTO schema_version VALUES (?)", [SCHEMA_VERSION])


def _later(migrations: Path, found: int) -> list[Path]:
    return [path for path in sorted(migrations.glob("[0-9]*.sql")) if int(path.stem.split("_")[0]) > found]


def _fixed_tables() -> list[tuple[str, str]]:
    summed = [(relation, hours.table_name(relation)) for relation in definitions.ROLLED_UP]
    kept = [(name, name) for name in (*definitions.BOOKS, *definitions.RECORDS)]
    return [*kept, *summed]


def _exists(cursor: duckdb.DuckDBPyConnection, name: str) -> bool:
    found = cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall()
    return bool(found[0][0])
