"""The public views of raw and settled relations: day tables and archived files as one.

A settled relation has a second view, ``<relation>_bucketed``, with the bucket that each row belongs to, and a third,
``<relation>_open``, of the days only whose buckets are in the manifest.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb

from store import archive, days, definitions, generations, schemas
from store.archive import ArchiveFile
from store.generations import RelationDay

BUCKETED: Final = "_bucketed"
OPEN: Final = "_open"


def create(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path) -> None:
    """(Re-)create the views of ``relation`` over what is there now, in the caller's transaction."""
    for statement in statements(cursor, relation, folder):
        cursor.execute(statement)


def absent(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Temporary macros and views for a reader of a file of an older release, which lacks them: no hour is rolled up."""
    views = {name for (name,) in cursor.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    found: list[str] = []
    for relation in definitions.SETTLED:
        if relation not in views:
            names = (relation, f"{relation}{BUCKETED}", f"{relation}{OPEN}")
            found += [_settled(name, relation, [], [], is_current=True) for name in names]
        elif f"{relation}{OPEN}" not in views:
            found.append(f"CREATE OR REPLACE VIEW {relation}{OPEN} AS FROM {relation}{BUCKETED}")
    macros = definitions.macros().values() if found else []
    return [statement.replace("OR REPLACE", "OR REPLACE TEMP", 1) for statement in (*found, *macros)]


def rolled_up(cursor: duckdb.DuckDBPyConnection) -> set[RelationDay]:
    """The days of which roll-ups have rows, hot or archived."""
    hot = {(name, days.day_of_table(one)) for name in definitions.ROLLED_UP for one in days.existing(cursor, name)}
    return hot | {(name, file.day) for name in definitions.ROLLED_UP for file in archive.listed(cursor, name)}


def create_all(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """(Re-)create every view."""
    for relation in (*definitions.RAW, *definitions.SETTLED):
        create(cursor, relation, folder)
    for relation in definitions.DERIVED:
        cursor.execute(definitions.derived_view(relation))


def statements(
    cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path, *, is_current: bool = True
) -> Iterator[str]:
    """The CREATE VIEW statements of ``relation`` with its archived files read from ``folder``.

    Columns are joined by place: binding a month of days by name takes twice as long (26 ms against 12). Unless the
    file ``is_current``: tables of an older release may lack columns.
    """
    files = archive.present(cursor, folder, relation)
    if relation in definitions.RAW:
        yield from _raw(cursor, relation, folder, files)
        return
    followed = generations.open_days(cursor, relation)
    hot_days = [days.day_of_table(name) for name in days.existing(cursor, relation)]
    hot = {day: generations.current(relation, day, day in followed) for day in hot_days}
    whole = [file for file in files if file.day not in followed]
    archived = [f"SELECT * FROM {archive.source(folder, whole)}"] if whole else []
    overridden = [
        generations.not_again(relation, file.day, archive.source(folder, [file]))
        for file in files
        if file.day in followed
    ]
    yield _settled(f"{relation}{BUCKETED}", relation, list(hot.values()), [*archived, *overridden], is_current)
    yield f"CREATE OR REPLACE VIEW {relation} AS SELECT * EXCLUDE (bucket_ns) FROM {relation}{BUCKETED}"
    still_open = [select for day, select in hot.items() if day in followed]
    yield _settled(f"{relation}{OPEN}", relation, still_open, overridden, is_current)


def moved(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """Temporary views for a reader of a folder that was moved since its owner last opened it; none if it was not."""
    views = cursor.execute("SELECT view_name, sql FROM duckdb_views() WHERE contains(sql, 'read_parquet')").fetchall()
    elsewhere = {name.removesuffix(BUCKETED).removesuffix(OPEN) for name, sql in views if f"{folder}/" not in sql}
    found = [
        statement for name in sorted(elsewhere) for statement in statements(cursor, name, folder, is_current=False)
    ]
    if found:
        found += [definitions.derived_view(name) for name in definitions.DERIVED]
    return [statement.replace("REPLACE VIEW", "REPLACE TEMP VIEW", 1) for statement in found]


def _raw(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path, files: Sequence[ArchiveFile]) -> Iterator[str]:
    tables = [f"SELECT * FROM {name}" for name in days.existing(cursor, relation)]
    archived = [f"SELECT * FROM {archive.source(folder, files)}"] if files else []
    yield definitions.view(relation, _columns(relation), [_empty(relation)], [*tables, *archived])


def _settled(name: str, relation: str, hot: Sequence[str], archived: Sequence[str], is_current: bool) -> str:
    """The view ``name``. Archived files may lack columns too."""
    columns = _columns(relation, without="generation")
    by_place = [f"SELECT {_listed(columns)} FROM ({select})" for select in hot] if is_current else []
    by_name = [] if is_current else [f"SELECT * EXCLUDE (generation) FROM ({select})" for select in hot]
    return definitions.view(name, columns, [_empty(relation, without="generation"), *by_place], [*by_name, *archived])


def _columns(relation: str, without: str = "") -> list[str]:
    return [name for name in schemas.columns(relation) if name != without]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _empty(relation: str, without: str = "") -> str:
    columns = schemas.columns(relation).items()
    typed = (f'CAST(NULL AS {sql_type}) AS "{column}"' for column, sql_type in columns if column != without)
    return f"SELECT {', '.join(typed)} WHERE false"
