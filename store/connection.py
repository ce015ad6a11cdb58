"""Connections to one DuckDB file, hardened: no files but the archive, no extensions, no network, settings locked.

DuckDB's errors are mapped to ours here, once.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from conventions.errors import RowsRefused, StoreError, StoreLocked, StoreTooNew
from store import archive

FILE_NAME = "tokenjoule.duckdb"
CHECKPOINT_BYTES = 64_000_000  # of log; at DuckDB's 16 MB rewriting the newest row group took half of all CPU time
OWN_CHECKPOINT_AT = "256MB"  # DuckDB's own checkpoint, should ours not be possible for a while
THEIR_FAULT = (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError, duckdb.NotSupportedError)
JOINED_BUCKETS = 2_000  # a join with so few skips what lies between them; with more (DuckDB's own: 50) it reads it too
ALLOCATOR_KEEPS = "16MB"  # of what was freed, per task; at DuckDB's 128 and 512 MB it kept 100 MB beyond its limit
SPILL_LIMIT = "4GB"  # of all queries together, beside the database; without it one query may fill the disk

_log = logging.getLogger(__name__)


def database_file(path: Path) -> Path:
    """The database file for ``path``: itself when it is or names a DuckDB file, else the one in that directory."""
    return path if path.suffix == ".duckdb" or path.is_file() else path / FILE_NAME


def connect(file: Path, *, read_only: bool, memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """A hardened connection to ``file``.

    Raises ``StoreLocked`` when another process owns it, ``StoreTooNew`` when a newer DuckDB wrote it, else
    ``StoreError``.
    """
    try:
        connection = duckdb.connect(str(file), read_only=read_only, config=_config(memory_limit, threads))
    except duckdb.Error as error:
        raise _opening_error(file, error) from error
    _harden(connection, file)
    return connection


def connect_owner(file: Path, *, memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """The one read-write connection. An unreadable write-ahead log is set aside, never deleted, and opening goes on."""
    try:
        return connect(file, read_only=False, memory_limit=memory_limit, threads=threads)
    except (StoreLocked, StoreTooNew):
        raise
    except StoreError as error:
        if not _is_about_log(error) or not _log_file(file).exists():
            raise
        _quarantine(_log_file(file), error)
    return connect(file, read_only=False, memory_limit=memory_limit, threads=threads)


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection, mode: str = "") -> Iterator[None]:
    """Everything inside is committed together or not at all; ``mode`` may be ``READ ONLY``."""
    cursor.execute(f"BEGIN TRANSACTION {mode}")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed COMMIT has already rolled back
            cursor.execute("ROLLBACK")
        raise


@contextmanager
def mapped_errors(doing: str) -> Iterator[None]:
    """DuckDB's errors inside become ``StoreError``; ``doing`` says what was attempted."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(f"{doing}: {error}") from error


@contextmanager
def blaming_rows(doing: str) -> Iterator[None]:
    """DuckDB's errors that will come again with the same rows become ``RowsRefused``."""
    try:
        yield
    except THEIR_FAULT as error:
        raise RowsRefused(f"{doing}: {error}") from error


def _harden(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Files are closed to SQL but for the archive, which the views read. A second connection finds it done."""
    if connection.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]:
        return
    for statement in (
        "SET GLOBAL TimeZone = 'UTC'",
        f"SET allowed_directories = [{archive.quoted(archive.folder_of(file))}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)


def _config(memory_limit: str, threads: int) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": memory_limit,
        "allocator_flush_threshold": ALLOCATOR_KEEPS,
        "allocator_bulk_deallocation_flush_threshold": ALLOCATOR_KEEPS,
        "max_temp_directory_size": SPILL_LIMIT,
        "checkpoint_threshold": OWN_CHECKPOINT_AT,
        "threads": threads,
        "dynamic_or_filter_threshold": JOINED_BUCKETS,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }


def _opening_error(file: Path, error: duckdb.Error) -> StoreError:
    text = str(error)
    if "lock on file" in text or "different configuration" in text:
        return StoreLocked(
            f"{file} is owned by another process, usually the collector: read through its address instead "
            f"(http://HOST:PORT, by default http://127.0.0.1:4318), or stop it first"
        )
    if "version number" in text and "WAL" not in text:
        return StoreTooNew(f"{file} was written by a newer DuckDB: upgrade duckdb ({text})")
    return StoreError(f"cannot open {file}: {text}")


def _is_about_log(error: StoreError) -> bool:
    text = str(error)
    if any(passing in text for passing in ("No space left", "File too large", "Out of Memory", "out of memory")):
        return False  # the log is sound: it is read when there is room again
    return "WAL" in text or "write-ahead log" in text.lower()


def log_bytes(file: Path) -> int:
    """Bytes of the write-ahead log of ``file``."""
    try:
        return _log_file(file).stat().st_size
    except FileNotFoundError:
        return 0


def _log_file(file: Path) -> Path:
    return file.with_name(file.name + ".wal")


def _quarantine(log: Path, error: StoreError) -> None:
    aside = log.with_name(f"{log.name}.unreadable-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    log.rename(aside)
    _log.error(
        "unreadable write-ahead log kept as %s; rows committed after the last checkpoint are in it: %s", aside, error
    )
