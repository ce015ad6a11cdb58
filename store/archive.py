"""The archive: Parquet files of sealed days, ``archive/day=YYYY-MM-DD/<relation>.parquet`` beside the database.

``archive_files`` lists what belongs to it. A file appears under its name only when it is whole and on disk, and is
never changed: what changes is the list. Files that are not listed are left over from an interruption, or retired.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from store import definitions, disk
from store.calendar import date_of

_log = logging.getLogger(__name__)

FOLDER: Final = "archive"
UNFINISHED: Final = ".part"
COLUMNS: Final = "relation, day, path, num_rows, size, column_names"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One listed file. ``path`` is relative to the archive folder, ``day`` counts from 1970-01-01 UTC.

    ``columns`` are its columns in order; none where an older release wrote it and did not note them.
    """

    relation: str
    day: int
    path: str
    num_rows: int
    size: int
    columns: tuple[str, ...] = ()


def folder_of(database: Path) -> Path:
    """The archive folder of a database file, absolute: the views carry its name."""
    return database.absolute().parent / FOLDER


def listed(cursor: duckdb.DuckDBPyConnection, relation: str | None = None) -> list[ArchiveFile]:
    """The files of ``relation`` or of all, oldest day first."""
    rows = cursor.execute(
        "SELECT * FROM archive_files WHERE $relation IS NULL OR relation = $relation ORDER BY day, path",
        {"relation": relation},
    ).fetchall()
    return [ArchiveFile(*row[:5], *(tuple(names or ()) for names in row[5:])) for row in rows]


def present(cursor: duckdb.DuckDBPyConnection, folder: Path, relation: str) -> list[ArchiveFile]:
    """The listed files of ``relation`` that are there, oldest day first."""
    return [file for file in listed(cursor, relation) if (folder / file.path).exists()]


def missing(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[ArchiveFile]:
    """Listed files that somebody took away."""
    return [file for file in listed(cursor) if not (folder / file.path).exists()]


def write(cursor: duckdb.DuckDBPyConnection, folder: Path, relation: str, day: int, select: str) -> ArchiveFile | None:
    """The rows of ``select`` as a finished file on disk, under a name not used before; None if there are no rows.

    ``select`` carries its own order. Raises ``duckdb.Error`` or ``OSError``; what was begun is swept up later.
    """
    directory = folder / f"day={date_of(day):%Y-%m-%d}"
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / f"{relation}{UNFINISHED}"
    rows = cursor.execute(f"COPY ({select}) TO {quoted(unfinished)} (FORMAT parquet, COMPRESSION zstd)").fetchall()[0][
        0
    ]
    if not rows:
        unfinished.unlink()
        return None
    disk.sync(unfinished)
    finished = _free_name(directory, relation)
    unfinished.rename(finished)
    for changed in (directory, folder, folder.parent):
        disk.sync(changed)
    columns = tuple(row[0] for row in cursor.execute(f"DESCRIBE {select}").fetchall())
    return ArchiveFile(relation, day, str(finished.relative_to(folder)), int(rows), finished.stat().st_size, columns)


def replace(cursor: duckdb.DuckDBPyConnection, gone: Iterable[str], added: Sequence[ArchiveFile]) -> None:
    """Take the paths ``gone`` from the list and put ``added`` on it, in the caller's transaction.

    The table is made anew, because deletions in a write-ahead log are what its replay has failed on.
    """
    cursor.execute("DROP TABLE IF EXISTS archive_files_fresh")
    cursor.execute(definitions.table("archive_files", "archive_files_fresh"))
    cursor.execute(
        "INSERT INTO archive_files_fresh BY NAME FROM archive_files WHERE NOT list_contains($gone::VARCHAR[], path)",
        {"gone": list(gone)},
    )
    for file in added:
        row = [file.relation, file.day, file.path, file.num_rows, file.size, list(file.columns)]
        cursor.execute(f"INSERT INTO archive_files_fresh ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)
    cursor.execute("DROP TABLE archive_files")
    cursor.execute("ALTER TABLE archive_files_fresh RENAME TO archive_files")


def tidy(cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Say which files are missing, and delete what an interruption left over."""
    for file in missing(cursor, folder):
        _log.error("%s is listed but not there: its rows are not seen until it is back", folder / file.path)
    for path in sweep(cursor, folder):
        _log.info("deleted %s, left over", path)


def sweep(cursor: duckdb.DuckDBPyConnection, folder: Path) -> list[Path]:
    """Delete files of the archive folder that are not listed, and folders that became empty; returns the files."""
    kept = {folder / file.path for file in listed(cursor)}
    found = sorted(folder.rglob("*"), reverse=True) if folder.exists() else []
    gone = [path for path in found if path.is_file() and path not in kept]
    for path in gone:
        path.unlink()
    for directory in found:
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    return gone


def source(folder: Path, files: Sequence[ArchiveFile], *, alike: bool = False) -> str:
    """The table function that reads exactly ``files``; columns that some of them lack are NULL there.

    Files that are ``alike`` have the same columns: one of them is opened to plan a question, not each.
    """
    paths = ", ".join(quoted(folder / file.path) for file in files)
    by_name = "" if alike else ", union_by_name = true"
    return f"read_parquet([{paths}], hive_partitioning = false{by_name})"


def quoted(path: Path) -> str:
    """``path`` as a SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def _free_name(directory: Path, relation: str) -> Path:
    path, number = directory / f"{relation}.parquet", 1
    while path.exists():
        number += 1
        path = directory / f"{relation}-{number}.parquet"
    return path
