"""The public views of raw and settled relations: day tables and archived files as one.

A settled relation has a second view, ``<relation>_bucketed``, with the bucket that each row belongs to, and a third,
``<relation>_open``, of the days only whose buckets are in the manifest. Roll-ups, which have no days, lack the third.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from store import archive, days, definitions, generations, hours, schemas
from store.archive import ArchiveFile

MEASURED: Final = "_measured"
BUCKETED: Final = "_bucketed"
OPEN: Final = "_open"


@dataclass(slots=True)
class Branches:
    """What makes up a view: what its columns are selected from, and SELECTs that may lack some."""

    by_place: list[str] = field(default_factory=list)
    by_name: list[str] = field(default_factory=list)


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


def statements(
    cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path, *, is_current: bool = True
) -> Iterator[str]:
    """The CREATE VIEW statements of ``relation`` with its archived files read from ``folder``.

    Columns are joined by place: binding a month of days by name takes twice as long (26 ms against 12). Unless the
    file ``is_current``: tables of an older release may lack columns.
    """
    files = archive.present(cursor, folder, relation)
    if relation in definitions.RAW:
        yield _raw(cursor, relation, folder, files)
        return
    if relation in definitions.ROLLED_UP:
        yield _settled(f"{relation}{BUCKETED}", relation, Branches([hours.source(relation)]))
        yield _public(relation)
        return
    followed = generations.open_days(cursor, relation)
    hot_days = [days.day_of_table(name) for name in days.existing(cursor, relation)]
    hot = {day: generations.source(relation, day, day in followed) for day in hot_days}
    again = [
        generations.not_again(relation, file.day, archive.source(folder, [file]))
        for file in files
        if file.day in followed
    ]
    still_open = _hot([source for day, source in hot.items() if day in followed], is_current)
    still_open.by_name += again
    every = _hot(list(hot.values()), is_current)
    archived = _archived(relation, folder, [file for file in files if file.day not in followed])
    every.by_place += archived.by_place
    every.by_name += [*archived.by_name, *again]
    yield _settled(f"{relation}{BUCKETED}", relation, every)
    yield _public(relation)
    yield _settled(f"{relation}{OPEN}", relation, still_open)
    if relation in definitions.MEASURED:
        yield _settled(f"{relation}{MEASURED}", relation, every, definitions.MEASURED[relation])


def temporary(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """What a reader of a file that nobody owns needs besides: views over archived files where ``folder`` was moved
    since its owner last opened it, and views and macros that a file of an older release lacks; it has no hour summed.
    """
    found = cursor.execute("SELECT view_name, sql FROM duckdb_views()").fetchall()
    elsewhere = _elsewhere(found, folder)
    lacking = list(_lacking(cursor, {name for name, _ in found}, elsewhere))
    views = [one for name in sorted(elsewhere) for one in statements(cursor, name, folder, is_current=False)]
    views += [*lacking, *(definitions.derived_view(name) for name in definitions.DERIVED if elsewhere)]
    macros = definitions.macros().values() if lacking else []
    return [statement.replace("OR REPLACE", "OR REPLACE TEMP", 1) for statement in (*macros, *views)]


def _elsewhere(views: Sequence[tuple[str, str]], folder: Path) -> set[str]:
    endings = re.compile(f"(?:{BUCKETED}|{OPEN}|{MEASURED})$")
    found = {endings.sub("", name) for name, sql in views if "read_parquet" in sql and f"{folder}/" not in sql}
    return found - definitions.ROLLED_UP.keys()  # an old release archived them; they are read as absent


def _lacking(cursor: duckdb.DuckDBPyConnection, views: set[str], without: set[str]) -> Iterator[str]:
    for relation in [name for name in definitions.BY_DAY if name not in without]:
        if relation not in views:
            yield from (_empty_view(f"{relation}{ending}", relation) for ending in ("", BUCKETED))
        for ending in (OPEN, *([MEASURED] if relation in definitions.MEASURED else [])):
            if f"{relation}{ending}" not in views:
                yield f"CREATE OR REPLACE VIEW {relation}{ending} AS FROM {relation}{BUCKETED}"
    for relation in definitions.ROLLED_UP:
        if not hours.is_there(cursor, relation):
            yield from (_empty_view(f"{relation}{ending}", relation) for ending in ("", BUCKETED))


def _public(relation: str) -> str:
    return f"CREATE OR REPLACE VIEW {relation} AS SELECT * EXCLUDE (bucket_ns) FROM {relation}{BUCKETED}"


def _raw(cursor: duckdb.DuckDBPyConnection, relation: str, folder: Path, files: Sequence[ArchiveFile]) -> str:
    tables = [f"SELECT * FROM {name}" for name in days.existing(cursor, relation)]
    archived, columns = _archived(relation, folder, files), _columns(relation)
    by_name = [*tables, *(f"SELECT * FROM {source}" for source in archived.by_place), *archived.by_name]
    return definitions.view(relation, columns, [_empty(relation, columns)], by_name)


def _hot(sources: Sequence[str], is_current: bool) -> Branches:
    """Day tables of the current release have all columns."""
    if is_current:
        return Branches(list(sources))
    return Branches([], [f"SELECT * EXCLUDE (generation) FROM {source}" for source in sources])


def _archived(relation: str, folder: Path, files: Sequence[ArchiveFile]) -> Branches:
    """Files with just the columns of today are read as one, by place; one of them is opened to plan a question."""
    today = tuple(_columns(relation, without="generation"))
    alike = [file for file in files if file.columns == today]
    others = [file for file in files if file.columns != today]
    return Branches(
        [archive.source(folder, alike, alike=True)] if alike else [],
        [f"SELECT * FROM {archive.source(folder, others)}"] if others else [],
    )


def _settled(name: str, relation: str, found: Branches, columns: Sequence[str] | None = None) -> str:
    """The view ``name`` of ``columns``, or of all."""
    columns = columns or _columns(relation, without="generation")
    by_place = [f"SELECT {_listed(columns)} FROM {source}" for source in found.by_place]
    typed = by_place or [_empty(relation, columns)]  # tables say the types themselves: casts fill the catalog
    return definitions.view(name, columns, typed, found.by_name)


def _empty_view(name: str, relation: str) -> str:
    return _settled(name, relation, Branches())


def _columns(relation: str, without: str = "") -> list[str]:
    return [name for name in schemas.columns(relation) if name != without]


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _empty(relation: str, columns: Sequence[str]) -> str:
    types = schemas.columns(relation)
    typed = (f'CAST(NULL AS {types[column]}) AS "{column}"' for column in columns)
    return f"SELECT {', '.join(typed)} WHERE false"
