"""One bounded queue and one writer thread: everything that waits goes into one transaction (group commit).

A future is resolved after the commit that holds its rows, or fails with what went wrong; nothing else acknowledges.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from collector.counters import Counters
from collector.settings import MEGABYTE, QueueSettings
from conventions.errors import Overloaded, StoreError

_log = logging.getLogger(__name__)

Tables = Mapping[str, pa.Table]
LINGER_S = 0.004
"""How long a commit waits for other senders: one of ten rows costs as much CPU time as 500 rows more in one."""
LINGER_ROWS = 10_000
WRITE_ERRORS = (StoreError, pa.ArrowException, OSError)


class RawStore(Protocol):
    """The part of ``store.writing.Store`` that the writer needs."""

    def append_raw(self, tables: dict[str, pa.Table]) -> None:
        """Append all tables in one transaction; returned means committed. Raises ``StoreError``."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    tables: Tables
    rows: int
    nbytes: int
    done: "Future[None]"


class Pipeline:
    """The queue and its writer. ``submit`` may be called from any thread; ``close`` commits what waits."""

    def __init__(self, store: RawStore, settings: QueueSettings, counters: Counters) -> None:
        self._store = store
        self._settings = settings
        self._counters = counters
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._nbytes = 0
        self._closing = False
        self._crowded = False  # whether the last commit held rows of several requests
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the writer runs."""
        return self._thread.is_alive()

    def submit(self, tables: Tables) -> "Future[None]":
        """Queue ``tables``; the future resolves after their commit, or fails with a ``StoreError``.

        Raises ``Overloaded`` when the queue is full or the writer has stopped.
        """
        rows = sum(table.num_rows for table in tables.values())
        nbytes = sum(table.nbytes for table in tables.values())
        waiting = _Waiting(tables, rows, nbytes, Future())
        if not rows:
            waiting.done.set_result(None)
            return waiting.done
        with self._changed:
            self._admit(waiting)
            self._queue.append(waiting)
            self._count(rows, nbytes)
            self._changed.notify()
        return waiting.done

    def close(self) -> None:
        """Take nothing more, commit what waits, end the writer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _admit(self, waiting: _Waiting) -> None:
        if self._closing or not self._thread.is_alive():
            raise self._overloaded("the collector is stopping")
        if not self._queue:
            return  # whatever its size, alone it must be possible to store
        if self._rows + waiting.rows > self._settings.max_rows:
            raise self._overloaded(f"{self._rows} rows wait for the store")
        if self._nbytes + waiting.nbytes > self._settings.max_mb * MEGABYTE:
            raise self._overloaded(f"{self._nbytes // MEGABYTE} MB wait for the store")

    def _overloaded(self, why: str) -> Overloaded:
        retry_after_s = self._settings.retry_after_s
        return Overloaded(f"{why}: retry in {retry_after_s:g} s", retry_after_s=retry_after_s)

    def _count(self, rows: int, nbytes: int) -> None:
        self._rows += rows
        self._nbytes += nbytes
        self._counters.queue_rows.set(self._rows)
        self._counters.queue_bytes.set(self._nbytes)

    def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while group := self._gather():
                self._write(group)
                with self._changed:
                    self._count(-sum(one.rows for one in group), -sum(one.nbytes for one in group))
        finally:
            self._abandon(group)

    def _gather(self) -> list[_Waiting]:
        """What waits, up to one commit's rows; empty only at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if self._crowded:
                self._changed.wait_for(lambda: self._closing or self._rows >= LINGER_ROWS, LINGER_S)
            group: list[_Waiting] = []
            rows = 0
            while self._queue and (not group or rows + self._queue[0].rows <= self._settings.commit_rows):
                group.append(self._queue.popleft())
                rows += group[-1].rows
            self._crowded = len(group) > 1
            return group

    def _write(self, group: Sequence[_Waiting]) -> None:
        try:
            self._commit(group)
        except WRITE_ERRORS as error:
            self._counters.failed_commits.inc()
            if len(group) > 1:  # one bad table must not fail the others of its group
                for one in group:
                    self._write([one])
            else:
                _log.error("nothing acknowledged: %s", error)
                group[0].done.set_exception(error if isinstance(error, StoreError) else StoreError(str(error)))
        else:
            for one in group:
                one.done.set_result(None)

    def _commit(self, group: Sequence[_Waiting]) -> None:
        merged = _merged([one.tables for one in group])
        started = time.perf_counter()
        self._store.append_raw(merged)
        self._counters.commit_seconds.observe(time.perf_counter() - started)
        self._counters.commits.inc()
        for relation, table in merged.items():
            self._counters.committed.labels(relation).inc(table.num_rows)

    def _abandon(self, group: Sequence[_Waiting]) -> None:
        """The writer ends: whoever still waits is told, so that no request hangs."""
        with self._changed:
            self._closing = True
            left = [*group, *self._queue]
            self._queue.clear()
        for one in left:
            if not one.done.done():
                one.done.set_exception(StoreError("the writer stopped before the commit"))


def _merged(parts: Sequence[Tables]) -> dict[str, pa.Table]:
    """One table per relation from those of several requests."""
    relations = dict.fromkeys(name for part in parts for name in part)
    return {name: pa.concat_tables([part[name] for part in parts if name in part]) for name in relations}
