"""The store as its one owner sees it: rows appended, records appended, buckets replaced; returned means committed."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from conventions.errors import StoreError
from conventions.plugins import unknown
from store import archive, connection, days, definitions, frames, generations, relations, space, versions
from store.connection import mapped_errors, transaction
from store.limits import Limits
from store.untrusted import UntrustedQuery

_log = logging.getLogger(__name__)


class Store:
    """One DuckDB file, opened read-write by exactly one process. Every method may be called from any thread.

    Writes take one lock; each query has its own cursor and sees the last committed state.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection], file: Path, reserve: int = 0) -> None:
        self.file = file
        self.archive = archive.folder_of(file)
        self.keeping = threading.Lock()  # held by sealing, retention and backup, one at a time
        self._connect = connect
        self._reserve = reserve
        self._root = connect()
        self._writer = self._root.cursor()
        self._lock = threading.Lock()
        self._given_up = False  # by DuckDB, after an error that it calls fatal, such as a full disk
        self._day_tables: set[str] = set()
        self._generation = 0

    @classmethod
    def open(cls, path: Path | str, *, memory_limit: str = "2GB", threads: int = 1, reserve: int = 0) -> Self:
        """The store in the directory ``path`` (made if missing), or in that ``.duckdb`` file.

        ``threads`` work on one statement; statements of several callers run side by side in any case. With a second
        one an append costs twice the CPU time (measured: 7.4 against 14 µs per span), because the caller spins while
        the other thread has the work.

        Nothing is written while fewer than ``reserve`` bytes are free on the disk.

        Raises ``StoreLocked`` when another process owns it, ``StoreTooNew`` when a newer tokenjoule or DuckDB wrote it,
        ``StoreError`` when it cannot be written.
        """
        file = connection.database_file(Path(path))
        space.require_writable(file)
        store = cls(partial(connection.connect_owner, file, memory_limit=memory_limit, threads=threads), file, reserve)
        try:
            store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    def append_raw(self, tables: Mapping[str, pa.Table]) -> None:
        """Append rows of ``definitions.RAW`` in one transaction. Raises ``StoreError``, keeping nothing."""
        space.require(self.file.parent, self._reserve)
        with self._writing("append"):
            fresh = [name for relation, table in tables.items() for name in self._append_days(relation, table)]
        self._day_tables.update(fresh)

    def append_records(self, relation: str, table: pa.Table) -> None:
        """Append rows to one of ``definitions.RECORDS``. Raises ``StoreError``."""
        if relation not in definitions.RECORDS:
            raise StoreError(unknown("append-only relation", relation, list(definitions.RECORDS)))
        space.require(self.file.parent, self._reserve)
        with self._writing(f"append to {relation}"):
            self._insert(relation, table)

    def replace_buckets(self, tables: Mapping[str, pa.Table], buckets: Mapping[str, Sequence[int]]) -> None:
        """Make ``tables`` all that the listed buckets (UTC nanoseconds of their start) hold, in one transaction.

        Rows belong to the bucket in their column ``bucket_ns`` if they have one, else to the UTC minute of their
        ``started_at``. A listed bucket without rows becomes empty. Raises ``StoreError``, also for rows of a bucket
        that is not listed.
        """
        placed = {relation: generations.with_bucket(table) for relation, table in tables.items()}
        listed = dict(buckets)
        generations.check(placed, listed)
        space.require(self.file.parent, self._reserve)
        with self._writing("replace buckets"):
            self._generation += 1
            for relation, table in placed.items():
                self._insert(f"{relation}_rows", _stamped(table, self._generation))
            self._insert("manifest", generations.manifest_rows(listed, self._generation))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """All rows of a trusted statement. Raises ``StoreError``."""
        with mapped_errors("query"), self.cursor() as cursor:
            return frames.drain(cursor.execute(sql, dict(parameters or {})))

    def query_untrusted(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> pa.Table:
        """All rows of one read-only statement under ``limits``. Raises ``QueryRefused`` with the reason."""
        return self.untrusted(sql, parameters, limits).run()

    def untrusted(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> UntrustedQuery:
        """The same query not yet run, for callers that may want to cancel it."""
        with mapped_errors("query"):
            return UntrustedQuery(self.cursor(), sql, parameters, limits or Limits())

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own for the rest of this package; its user closes it and maps its errors."""
        if self._given_up:
            with self._lock:
                self._open_again()
        return self._root.cursor()

    def compact(self, min_stale_share: float = 0.5) -> list[str]:
        """Drop replaced generations of relations of which at least ``min_stale_share`` is stale; returns their names.

        Readers keep their snapshot. Rewriting only then keeps the cost per settled row constant. Raises ``StoreError``.
        """
        with self._writing("compact"):
            stale = [
                name for name in definitions.SETTLED if generations.stale_share(self._writer, name) >= min_stale_share
            ]
            for relation in stale:
                generations.rewrite(self._writer, relation)
            if stale:
                generations.rewrite_manifest(self._writer)
        if stale:
            self.checkpoint()
        return stale

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file, so that dropped space is given back. Raises ``StoreError``.

        Returns False, having done nothing, when readers still need what would be dropped; DuckDB checkpoints by
        itself later.
        """
        with self._lock, mapped_errors("checkpoint"), self._noting_fatal():
            try:
                self._writer.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False
            return True

    def close(self) -> None:
        """Finish the write in progress, checkpoint and release the file. Safe to call twice."""
        with self._lock:
            self._writer.close()
            self._root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        with mapped_errors(f"prepare {self.file}"):
            found = versions.check(self._writer, self.file)
            with transaction(self._writer):
                versions.bring_forward(self._writer, found)
                self._define()
            self._generation = generations.newest(self._writer)
            self._tidy_archive()
        try:
            self.checkpoint()  # definitions do not stay in the log: replay failures cluster there
        except StoreError as error:
            _log.error("%s is open, its log stays as it is: %s", self.file, error)

    def _define(self) -> None:
        for macro in definitions.macros().values():
            self._writer.execute(macro)
        for relation in definitions.RAW:
            for name in days.existing(self._writer, relation):
                versions.add_missing_columns(self._writer, relation, name)
        self._follow()

    def _tidy_archive(self) -> None:
        for file in archive.missing(self._writer, self.archive):
            _log.error("%s is listed but not there: its rows are not seen until it is back", self.archive / file.path)
        for path in archive.sweep(self._writer, self.archive):
            _log.info("deleted %s, left over", path)

    def _follow(self) -> None:
        """Views and known day tables as the catalog now has them."""
        relations.create_all(self._writer, self.archive)
        self._day_tables = {name for relation in definitions.RAW for name in days.existing(self._writer, relation)}

    @contextmanager
    def still(self) -> Iterator[None]:
        """Writes wait meanwhile."""
        with self._lock:
            yield

    @contextmanager
    def rearranging(self, doing: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer's cursor in one transaction that may drop and archive days; the views follow. No appends then."""
        with self._writing(doing):
            yield self._writer
            self._follow()

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        with self._lock, mapped_errors(doing), self._noting_fatal():
            self._open_again()
            with transaction(self._writer):
                yield

    @contextmanager
    def _noting_fatal(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.FatalException, duckdb.InternalException):
            self._given_up = True
            raise

    def _open_again(self) -> None:
        """Once DuckDB has given the database up, every statement fails until it is opened again: nothing is lost."""
        if not self._given_up:
            return
        self._writer.close()
        self._root.close()
        self._root = self._connect()
        self._writer = self._root.cursor()
        self._day_tables = {name for relation in definitions.RAW for name in days.existing(self._writer, relation)}
        self._given_up = False
        _log.warning("%s was opened again", self.file)

    def _append_days(self, relation: str, table: pa.Table) -> list[str]:
        if relation not in definitions.RAW:
            raise StoreError(unknown("raw relation", relation, list(definitions.RAW)))
        fresh = []
        for day, rows in days.split(table):
            name = days.table_name(relation, day)
            if name not in self._day_tables:
                self._writer.execute(definitions.table(relation, name))
                relations.create(self._writer, relation, self.archive)
                fresh.append(name)
            self._insert(name, rows)
        return fresh

    def _insert(self, name: str, rows: pa.Table) -> None:
        self._writer.register("incoming", _told(rows))
        self._writer.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
        self._writer.unregister(
            "incoming"
        )  # not after an error: an aborted transaction refuses it; the rollback does it


def _told(rows: pa.Table) -> pa.Table:
    """``rows`` without the columns that are NULL throughout: an append of ten spans costs a third less."""
    told = [name for name in rows.column_names if rows.column(name).null_count < rows.num_rows]
    return rows.select(told) if told else rows


def _stamped(table: pa.Table, generation: int) -> pa.Table:
    return table.append_column("generation", pa.array([generation] * table.num_rows, pa.int64()))
