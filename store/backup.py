"""Backup of a running store into a folder of its own, and restore from one.

A backup is one moment: the tables are copied in one transaction, archived files, which never change, are linked or
copied. Both a backup and a restored store appear under their name only when they are whole.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from conventions.errors import StoreError
from store import archive, disk
from store.archive import ArchiveFile
from store.connection import FILE_NAME, mapped_errors, transaction
from store.writing import Store

COPY: Final = "backup_copy"


def backup(store: Store, to: Path) -> int:
    """Write the store as it is now to the new folder ``to``; returns its bytes. Ingestion goes on meanwhile.

    Raises ``StoreError``, also when ``to`` is there and not empty.
    """
    _require_empty(to)
    unfinished = to.with_name(f"{to.name}{archive.UNFINISHED}")
    with store.keeping, _filesystem_errors(f"backup to {to}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        files = _copy_tables(store, unfinished / FILE_NAME)
        for file in files:
            _link_or_copy(store.archive / file.path, unfinished / archive.FOLDER / file.path)
    return _finish(unfinished, to)


def restore(source: Path, data: Path) -> int:
    """Copy the backup ``source`` to the data folder ``data``; returns its bytes. The backup stays as it is.

    Raises ``StoreError`` when ``source`` holds no store, or ``data`` is there and not empty.
    """
    if not (source / FILE_NAME).is_file():
        raise StoreError(f"no backup in {source}: expected {FILE_NAME} there")
    _require_empty(data)
    unfinished = data.with_name(f"{data.name}{archive.UNFINISHED}")
    with _filesystem_errors(f"restore to {data}"):
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(source, unfinished)
    return _finish(unfinished, data)


def _copy_tables(store: Store, file: Path) -> list[ArchiveFile]:
    """All tables of one moment as the database ``file``; returns the archived files of that moment.

    SQL may write to the archive folder only, so the copy is made there and moved; one that a crash left is swept up.
    """
    staging = store.archive / f"{COPY}{archive.UNFINISHED}"
    store.archive.mkdir(exist_ok=True)
    staging.unlink(missing_ok=True)
    with mapped_errors("backup"), store.cursor() as cursor:
        cursor.execute(f"ATTACH {archive.quoted(staging)} AS {COPY}")
        try:
            with transaction(cursor):
                _copy_each(cursor)
                files = archive.listed(cursor)
            with store.still():  # detaching leaves the log behind while other transactions write
                cursor.execute(f"CHECKPOINT {COPY}")
        finally:
            cursor.execute(f"DETACH {COPY}")
    shutil.move(staging, file)
    return files


def _copy_each(cursor: duckdb.DuckDBPyConnection) -> None:
    """``COPY FROM DATABASE`` wants a setting that is locked here; views and macros come with the first opening."""
    tables = cursor.execute(
        "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = current_database() ORDER BY table_name"
    ).fetchall()
    for name, definition in tables:
        cursor.execute(definition.replace(f"CREATE TABLE {name}", f"CREATE TABLE {COPY}.main.{name}", 1))
        cursor.execute(f"INSERT INTO {COPY}.main.{name} SELECT * FROM {name}")


def _finish(unfinished: Path, folder: Path) -> int:
    """Bring views and macros in, force everything to disk, and give the folder its name."""
    for _ in range(2):  # the second time what the first one replaced in the catalog is given back
        Store.open(unfinished).close()
    with _filesystem_errors(f"finish {folder}"):
        paths = [path for path in sorted(unfinished.rglob("*")) if path.is_file()]
        for path in paths:
            disk.sync(path)
        unfinished.rename(folder)
        disk.sync(folder.absolute().parent)
    return sum((folder / path.relative_to(unfinished)).stat().st_size for path in paths)


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is there and not empty: name a new folder")


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


@contextmanager
def _filesystem_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{doing}: {error}") from error
