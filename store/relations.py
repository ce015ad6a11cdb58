"""The public views of raw and settled relations: hot tables and archived files as one."""

from pathlib import Path

import duckdb

from store import archive, days, definitions


def create(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path) -> None:
    """(Re-)create the view ``relation`` over what is there now, in the caller's transaction."""
    cursor.execute(statement(cursor, relation, folder))


def create_all(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """(Re-)create every view."""
    for relation in (*definitions.RAW, *definitions.SETTLED):
        create(cursor, relation, folder)
    for relation in definitions.DERIVED:
        cursor.execute(definitions.derived_view(relation))


def statement(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path) -> str:
    """The CREATE VIEW statement of ``relation`` with its archived files read from ``folder``."""
    files = archive.present(cursor, folder, relation)
    archived = archive.source(folder, files) if files else None
    if relation in definitions.RAW:
        return days.view(cursor, relation, archived)
    return definitions.settled_view(relation, archived)


def moved(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Temporary views for a reader of a folder that was moved since its owner last opened it; none if it was not."""
    views = cursor.execute("SELECT view_name, sql FROM duckdb_views() WHERE contains(sql, 'read_parquet')").fetchall()
    elsewhere = [name for name, sql in views if f"{folder}/" not in sql]
    replaced = [statement(cursor, name, folder) for name in elsewhere]
    if replaced:
        replaced += [definitions.derived_view(name) for name in definitions.DERIVED]
    return [view.replace("REPLACE VIEW", "REPLACE TEMP VIEW", 1) for view in replaced]
