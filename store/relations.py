"""The public views of raw and settled relations: day tables and archived files as one.

A settled relation has a second view, ``<relation>_bucketed``, with the bucket that each row belongs to.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb

from store import archive, days, definitions, generations, schemas
from store.archive import ArchiveFile

BUCKETED: Final = "_bucketed"


def create(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path) -> None:
    """(Re-)create the views of ``relation`` over what is there now, in the caller's transaction."""
    for statement in statements(cursor, relation, folder):
        cursor.execute(statement)


def create_all(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """(Re-)create every view."""
    for relation in (*definitions.RAW, *definitions.SETTLED):
        create(cursor, relation, folder)
    for relation in definitions.DERIVED:
        cursor.execute(definitions.derived_view(relation))


def statements(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path) -> Iterator[str]:
    """The CREATE VIEW statements of ``relation`` with its archived files read from ``folder``."""
    files = archive.present(cursor, folder, relation)
    if relation in definitions.RAW:
        tables = [f"SELECT * FROM {name}" for name in days.existing(cursor, relation)]
        archived = [f"SELECT * FROM {archive.source(folder, files)}"] if files else []
        yield definitions.view(relation, "*", [_empty(relation), *tables, *archived])
        return
    branches = [_empty(relation, without="generation"), *_settled(cursor, relation, folder, files)]
    yield definitions.view(relation, "* EXCLUDE (bucket_ns)", branches)
    yield definitions.view(f"{relation}{BUCKETED}", "*", branches)


def moved(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Temporary views for a reader of a folder that was moved since its owner last opened it; none if it was not."""
    views = cursor.execute("SELECT view_name, sql FROM duckdb_views() WHERE contains(sql, 'read_parquet')").fetchall()
    elsewhere = {name.removesuffix(BUCKETED) for name, sql in views if f"{folder}/" not in sql}
    found = [statement for name in sorted(elsewhere) for statement in statements(cursor, name, folder)]
    if found:
        found += [definitions.derived_view(name) for name in definitions.DERIVED]
    return [statement.replace("REPLACE VIEW", "REPLACE TEMP VIEW", 1) for statement in found]


def _settled(
    cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path, files: Sequence[ArchiveFile]
) -> Iterator[str]:
    """Only days whose buckets are in the manifest are joined with it: the join costs as much as most questions."""
    followed = generations.open_days(cursor, relation)
    for name in days.existing(cursor, relation):
        day = days.day_of_table(name)
        yield f"SELECT * EXCLUDE (generation) FROM ({generations.current(relation, day, day in followed)})"
    whole = [file for file in files if file.day not in followed]
    if whole:
        yield f"SELECT * FROM {archive.source(folder, whole)}"
    for file in files:
        if file.day in followed:
            yield generations.not_again(relation, file.day, archive.source(folder, [file]))


def _empty(relation: str, without: str = "") -> str:
    columns = schemas.columns(relation).items()
    typed = (f'CAST(NULL AS {sql_type}) AS "{column}"' for column, sql_type in columns if column != without)
    return f"SELECT {', '.join(typed)} WHERE false"
