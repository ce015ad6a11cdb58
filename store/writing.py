"""The store as its one owner sees it: rows appended, records appended, buckets replaced; returned means committed."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from conventions.errors import StoreError
from conventions.plugins import unknown
from store import (
    archive,
    connection,
    days,
    definitions,
    frames,
    generations,
    marks,
    progress,
    relations,
    schemas,
    space,
    versions,
)
from store.connection import mapped_errors, transaction
from store.limits import Limits
from store.owner import Connect, Owner
from store.settled import Settled, Staging
from store.untrusted import UntrustedQuery

_log = logging.getLogger(__name__)


class Store:
    """One DuckDB file, opened read-write by exactly one process. Every method may be called from any thread.

    Writes take one lock; each query has its own cursor and sees the last committed state.
    """

    def __init__(self, connect: Connect, file: Path, reserve: int = 0) -> None:
        self.file = file
        self.archive = archive.folder_of(file)
        self.keeping = threading.Lock()  # held by sealing, retention and backup, one at a time
        self._reserve = reserve
        self._owner = Owner(connect, file, self._reopened, self._checkpointed)
        self._day_tables: set[str] = set()
        self._settled = Settled(self._owner, self.archive)
        self._spooled = 0  # the sequence number that is committed
        self._held = 0  # the one that the file holds, whatever becomes of the log

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
        self._append(tables)

    def append_spooled(self, tables: Mapping[str, pa.Table], sequence: int) -> None:
        """Append rows, of ``definitions.RECORDS`` too, and note in the same transaction that ``sequence`` is stored.

        Does nothing when it is already. Raises ``StoreError``, keeping nothing; ``RowsRefused`` when it is of no use
        to try again.
        """
        self._append(tables, sequence)

    @property
    def spooled_until(self) -> int:
        """The highest sequence number of ``append_spooled`` that is committed, 0 before the first."""
        return self._spooled

    @property
    def held_until(self) -> int:
        """The one that a checkpoint has brought into the database file: that much no unreadable log can take away."""
        return self._held

    def append_records(self, relation: str, table: pa.Table) -> None:
        """Append rows to one of ``definitions.RECORDS``. Raises ``StoreError``."""
        if relation not in definitions.RECORDS:
            raise StoreError(unknown("append-only relation", relation, list(definitions.RECORDS)))
        space.require(self.file.parent, self._reserve)
        with self._owner.writing(f"append to {relation}"):
            frames.insert(self._writer, relation, table)

    @property
    def generation(self) -> int:
        """That of the newest buckets that readers see."""
        return self._settled.generation

    def note_settled(self, reached: Mapping[str, int]) -> None:
        """Keep how far settlement has come, moments by name, for the next start. Raises ``StoreError``."""
        with self._owner.writing("note what is settled"):
            marks.note(self._writer, reached)

    def settled_marks(self) -> dict[str, int]:
        """What ``note_settled`` was told last; empty before the first time. Raises ``StoreError``."""
        with mapped_errors("read what is settled"), self.cursor() as cursor:
            return marks.reached(cursor)

    def staging(self) -> AbstractContextManager[Staging]:
        """For a replacement that is too large for one table: its pieces are committed and not seen before its end."""
        return self._settled.staging()

    def stage(self, staging: Staging, relation: str, rows: pa.Table) -> None:
        """Commit a piece of ``relation``, rows with ``bucket_ns``, unseen. Raises ``StoreError``."""
        space.require(self.file.parent, self._reserve)
        self._settled.stage(staging, relation, rows)
        self._owner.checkpoint_when_due()

    def carry(self, staging: Staging, relation: str, buckets: Sequence[int], without: pa.Table) -> None:
        """Stage what ``buckets`` hold, but for rows with a ``request_id`` of ``without``. Raises ``StoreError``."""
        space.require(self.file.parent, self._reserve)
        self._settled.carry(staging, relation, buckets, without)
        self._owner.checkpoint_when_due()

    def replace_buckets(
        self,
        tables: Mapping[str, pa.Table],
        buckets: Mapping[str, Sequence[int]],
        as_of: int | None = None,
        staging: Staging | None = None,
    ) -> bool:
        """Make ``tables`` all that the listed buckets (UTC nanoseconds of their start) hold, in one transaction.

        Rows belong to the bucket in their column ``bucket_ns`` if they have one, else to the UTC minute of their
        ``started_at``. A listed bucket without rows becomes empty, and so does the hour of a roll-up over it. With
        ``as_of``, for roll-ups, nothing is done and False returned when the rows they are summed from were replaced
        after that ``generation``. With ``staging``, the buckets hold what was staged in it too. Raises ``StoreError``,
        also for rows of a bucket that is not listed.
        """
        space.require(self.file.parent, self._reserve)
        if not self._settled.replace(tables, dict(buckets), as_of, staging):
            return False
        self._owner.checkpoint_when_due()
        return True

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, tables: Mapping[str, pa.Table] | None = None
    ) -> pa.Table:
        """All rows of a trusted statement, which may read ``tables`` by their names. Raises ``StoreError``."""
        with mapped_errors("query"), self.cursor() as cursor:
            for name, table in (tables or {}).items():
                cursor.register(name, table)
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
        return self._owner.cursor()

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file, so that dropped space is given back. Raises ``StoreError``.

        Returns False, having done nothing, when readers still need what would be dropped; DuckDB checkpoints by
        itself later.
        """
        return self._owner.checkpoint()

    def memory_bytes(self) -> int:
        """What DuckDB holds in memory by its own account; code, allocators' reserves and results are not in it."""
        found = self.query("SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT AS bytes FROM duckdb_memory()")
        return int(found["bytes"][0].as_py())

    def close(self) -> None:
        """Finish the write in progress, checkpoint and release the file. Safe to call twice."""
        self._owner.close()

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
            self._settled.begin(self._writer)
            self._spooled = progress.reached(self._writer)
            archive.tidy(self._writer, self.archive)
        try:
            self.checkpoint()  # definitions do not stay in the log: replay failures cluster there
        except StoreError as error:
            _log.error("%s is open, its log stays as it is: %s", self.file, error)

    def _define(self) -> None:
        for macro in definitions.macros().values():
            self._writer.execute(macro)
        generations.drop_leftovers(self._writer)
        for relation in (*definitions.RAW, *definitions.BY_DAY):
            for name in days.existing(self._writer, relation):
                schemas.add_missing_columns(self._writer, relation, name)
        self._follow()

    def _follow(self) -> None:
        """Views and known days as the catalog now has them."""
        relations.create_all(self._writer, self.archive)
        self._learn_days()

    def _learn_days(self) -> None:
        self._day_tables = {name for relation in definitions.RAW for name in days.existing(self._writer, relation)}
        self._settled.learn(self._writer)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Writes wait meanwhile."""
        with self._owner.lock:
            yield

    @contextmanager
    def rearranging(self, doing: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer's cursor in one transaction that may drop and archive days; the views follow. No appends then."""
        with self._owner.writing(doing) as writer:
            yield writer
            self._follow()

    @property
    def _writer(self) -> duckdb.DuckDBPyConnection:
        return self._owner.writer

    def _reopened(self) -> None:
        self._learn_days()
        self._spooled = progress.reached(self._writer)

    def _checkpointed(self) -> None:
        self._held = self._spooled

    def _append(self, tables: Mapping[str, pa.Table], sequence: int | None = None) -> None:
        space.require(self.file.parent, self._reserve)
        fresh: list[str] = []
        with self._owner.writing("append"):
            if sequence is not None and sequence <= self._spooled:
                return
            for relation, table in tables.items():
                if relation in definitions.RECORDS and sequence is not None:
                    frames.insert(self._writer, relation, table)
                else:
                    fresh += self._append_days(relation, table)
            if sequence is not None:
                progress.advance(self._writer, sequence)
        self._day_tables.update(fresh)
        self._spooled = max(self._spooled, sequence or 0)
        self._owner.checkpoint_when_due()

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
            frames.insert(self._writer, name, rows)
        return fresh
