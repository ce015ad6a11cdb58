"""Seals old days: their rows move from the database into Parquet files, and the database file gets its space back.

Order of events, so that an interruption anywhere loses and doubles nothing: files are written, forced to disk and
named; one transaction lists them and drops the hot rows; a checkpoint gives the space back. Before the transaction the
files are left over, after it the rows are gone from the database. The files are written without holding up ingestion;
a day that changed in the meantime is left for the next time.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import duckdb

from conventions.errors import StoreError
from store import archive, days, definitions, generations
from store.archive import ArchiveFile
from store.connection import mapped_errors, transaction
from store.writing import Store

Step = Callable[[str], None]
DAILY: Final = (*definitions.RAW, *definitions.BY_DAY)
_State = list[tuple[object, ...]]


def _ignore(_step: str) -> None:
    """Nobody wants to know."""


def seal(store: Store, before: int, after: Step = _ignore) -> list[int]:
    """Archive every day before ``before`` that has hot rows; returns the days, counted from 1970-01-01 UTC.

    A late row of an archived day is hot until the next sealing adds it to the archive. ``after`` is called with the
    name of each step that is done: ``written``, ``arranged``, ``committed``, ``checkpointed``. Raises ``StoreError``.
    """
    with store.keeping:
        return [day for day in hot_days(store) if day < before and _seal_day(store, day, after)]


def hot_days(store: Store) -> list[int]:
    """The days of which the database itself has rows, oldest first."""
    with store.cursor() as cursor:
        tables = [name for relation in DAILY for name in days.existing(cursor, relation)]
    return sorted({days.day_of_table(name) for name in tables})


def drop(cursor: duckdb.DuckDBPyConnection, day: int) -> None:
    """Take the hot rows of ``day`` out of the database, in the caller's transaction."""
    for relation in DAILY:
        cursor.execute(f"DROP TABLE IF EXISTS {days.table_name(relation, day)}")
    generations.rewrite_manifest(cursor, without=[(relation, day) for relation in definitions.BY_DAY])


def _seal_day(store: Store, day: int, after: Step) -> bool:
    folder = store.archive
    with store.cursor() as cursor, mapped_errors(f"seal {store.file}"), transaction(cursor):
        seen = _state(cursor, day)
        replaced, files = _written(cursor, folder, day)
    after("written")
    with store.rearranging("seal") as cursor:
        if _state(cursor, day) != seen:
            return False
        archive.replace(cursor, replaced, files)
        drop(cursor, day)
        after("arranged")
    after("committed")
    store.checkpoint()
    after("checkpointed")
    return True


def _written(cursor: duckdb.DuckDBPyConnection, folder: Path, day: int) -> tuple[list[str], list[ArchiveFile]]:
    """Paths that the new files replace, and the new files."""
    selects = {relation: _raw(relation, day) for relation in _hot(cursor, definitions.RAW, day)}
    replaced: list[str] = []
    for relation in _hot(cursor, definitions.BY_DAY, day):
        older = [file for file in archive.present(cursor, folder, relation) if file.day == day]
        is_open = day in generations.open_days(cursor, relation)
        selects[relation] = _settled(relation, day, is_open, archive.source(folder, older) if older else None)
        replaced += [file.path for file in older]
    try:
        written = [archive.write(cursor, folder, relation, day, select) for relation, select in selects.items()]
    except OSError as error:
        raise StoreError(f"cannot archive to {folder}: {error}") from error
    return replaced, [file for file in written if file is not None]


def _raw(relation: str, day: int) -> str:
    return f"SELECT * FROM {days.table_name(relation, day)} ORDER BY received_ns"


def _settled(relation: str, day: int, is_open: bool, archived: str | None) -> str:
    """The current rows of the day: hot buckets, and those archived before that were not settled again."""
    older = f" UNION ALL BY NAME {generations.not_again(relation, day, archived)}" if archived else ""
    current = generations.current(relation, day, is_open)
    return f"SELECT * EXCLUDE (generation) FROM ({current}){older} ORDER BY started_at"


def _hot(cursor: duckdb.DuckDBPyConnection, relations: Sequence[str], day: int) -> list[str]:
    return [name for name in relations if days.table_name(name, day) in days.existing(cursor, name)]


def _state(cursor: duckdb.DuckDBPyConnection, day: int) -> _State:
    """What changes whenever the hot rows of ``day`` do."""
    tables: _State = []
    for relation in _hot(cursor, DAILY, day):
        name = days.table_name(relation, day)
        tables += [(name, *row) for row in cursor.execute(f"SELECT count(*) FROM {name}").fetchall()]
    settled = cursor.execute(
        f"SELECT relation, count(*), max(generation) FROM manifest WHERE {generations.buckets_of(day)}"
        " GROUP BY relation ORDER BY relation"
    ).fetchall()
    return tables + settled
