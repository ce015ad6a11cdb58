"""Two threads that move what is spooled into the store: one makes rows of it, one commits them in large transactions.

Each transaction notes how far the spool is stored, so that after a crash nothing is stored twice or left out. Nobody
waits for a commit but those who ask to see what was acknowledged, so a commit waits a little for more to come.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from collector.counters import Counters
from collector.settings import QueueSettings
from collector.spool.segments import Entry
from conventions.errors import RowsRefused, StoreError

_log = logging.getLogger(__name__)

Tables = Mapping[str, pa.Table]
LINGER_S: Final = 0.6
"""How long a commit waits for more: one of ten rows costs as much CPU time as 500 rows more in one. At 1,500 spans/s in
posts of ten, making and storing rows took 65 to 85 µs per span with 0.2 s and 35 to 46 with this."""
GROUP_ROWS: Final = 20_000
"""A group of so many waits no longer: while it is committed the next one is made."""
GROUP_BYTES: Final = 64_000_000
"""A small body may make large rows, and a group of many such bodies would take all memory."""
RETRY_S: Final = 1.0
TICK_S: Final = 1.0
STOPPED: Final = "the writer has stopped: restart the collector"


class SpooledStore(Protocol):
    """The part of ``store.writing.Store`` that storing needs."""

    def append_spooled(self, tables: Tables, sequence: int) -> None:
        """Append and note ``sequence`` in one transaction. Raises ``StoreError``; ``RowsRefused`` for good."""
        ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """What is made of entries, and who is told: of those stored, of one that cannot be, and the writer's idle call."""

    tables: Callable[[Sequence[Entry]], Tables]
    stored: Callable[[Sequence[Entry]], None]
    set_aside: Callable[[Entry], None]  # raises StoreError
    tick: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Group:
    entries: list[Entry]
    tables: Tables | None  # None: no rows can be made of it


class Storer:
    """Stores entries in the order in which they are added."""

    def __init__(self, store: SpooledStore, outlets: Outlets, settings: QueueSettings, counters: Counters) -> None:
        self._store = store
        self._outlets = outlets
        self._limit = settings.commit_rows
        self._counters = counters
        self._entries: deque[Entry] = deque()
        self._rows = 0  # of the entries
        self._made: deque[_Group] = deque()  # at most what is made of one gathering
        self._last = self._stored_until = 0  # sequence numbers of the newest entry, and of the newest that is stored
        self._gathered = 0  # of the newest that a commit is being made of
        self._added: deque[tuple[float, int]] = deque()  # when entries were added up to which number, while not stored
        self._asked: list[tuple[int, Future[None]]] = []  # who wants to see everything up to a sequence number
        self._trouble = ""
        self._closing = self._decoded = self._leaving = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("decoder", self._decode), ("writer", self._write))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether both threads run."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def trouble(self) -> str:
        """Why the store takes nothing at the moment; empty when it does."""
        return self._trouble

    def add(self, entries: Sequence[Entry]) -> None:
        """Store ``entries`` too, after all that were added before."""
        with self._changed:
            was_idle, was_wanted = not self._entries, self._wanted()
            self._entries.extend(entries)
            self._rows += sum(entry.head.rows for entry in entries)
            self._last = entries[-1].sequence
            self._added.append((time.monotonic(), self._last))
            if was_idle or (self._wanted() and not was_wanted):  # else all threads wake for nothing
                self._changed.notify_all()

    def caught_up(self, max_age_s: float = 0.0) -> "Future[None]":
        """Resolved when all that was added before this call is stored; fails when the store does not take it.

        Who is content without the last ``max_age_s`` waits for what was added before them only.
        """
        asked: Future[None] = Future()
        asked.set_running_or_notify_cancel()  # who leaves is told all the same, and ends nothing
        with self._changed:
            wanted = self._last_added(max_age_s)
            if self._stored_until >= wanted:
                asked.set_result(None)
            elif self._trouble or not self.alive:
                asked.set_exception(StoreError(self._trouble or STOPPED))
            else:
                self._asked.append((wanted, asked))
                self._changed.notify_all()
        return asked

    def _last_added(self, before_s: float) -> int:
        """The number of the newest entry that was added at least so long ago, or of one that is stored."""
        if before_s <= 0:
            return self._last
        until = time.monotonic() - before_s
        return max((number for moment, number in self._added if moment <= until), default=self._stored_until)

    def close(self, grace_s: float) -> None:
        """Store what was added, for up to ``grace_s``, and end the threads. What is left stays in the spool."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        end_s = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _decode(self) -> None:
        try:
            while group := self._gather():
                made = self._make(group)
                with self._changed:
                    self._changed.wait_for(lambda: self._leaving or not self._made)
                    self._made.extend(made)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._decoded = True
                self._changed.notify_all()

    def _gather(self) -> list[Entry]:
        """What was added, up to one commit's rows; empty only at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._leaving or self._closing or self._entries)
            self._changed.wait_for(lambda: self._leaving or self._closing or self._wanted(), LINGER_S)
            group: list[Entry] = []
            rows = nbytes = 0
            while self._entries and not self._leaving:
                head = self._entries[0].head
                full = rows >= GROUP_ROWS or rows + head.rows > self._limit or nbytes + head.weight > GROUP_BYTES
                if group and full:
                    break
                group.append(self._entries.popleft())
                rows, nbytes = rows + head.rows, nbytes + head.weight
            self._rows -= rows
            self._gathered = group[-1].sequence if group else self._gathered
            return group

    def _wanted(self) -> bool:
        """Whether there is a full commit, or somebody waits for what no commit has yet: it takes all waits at once."""
        awaited = max((number for number, _ in self._asked), default=0) > self._gathered
        return awaited or self._rows >= min(GROUP_ROWS, self._limit)

    def _make(self, entries: list[Entry]) -> list[_Group]:
        """Rows of all ``entries`` together; if that fails, of each alone, so that one does not spoil the others."""
        try:
            return [_Group(entries, self._outlets.tables(entries))]
        except Exception as error:  # noqa: BLE001  a dialect may be anybody's; what was acknowledged is kept aside
            if len(entries) > 1:
                return [group for entry in entries for group in self._make([entry])]
            _log.exception("no rows can be made of record %d: %s", entries[0].sequence, error)
            return [_Group(entries, None)]

    def _write(self) -> None:
        try:
            while not self._finished():
                group = self._take()
                if group is not None:
                    self._commit(group)
                self._outlets.tick()
        finally:
            with self._changed:
                self._leaving = True
                self._changed.notify_all()
                self._tell(self._trouble or STOPPED)

    def _finished(self) -> bool:
        return self._leaving or (self._decoded and not self._made)

    def _take(self) -> _Group | None:
        with self._changed:
            self._changed.wait_for(lambda: self._finished() or self._made, TICK_S)
            group = self._made.popleft() if self._made and not self._leaving else None
            self._changed.notify_all()
            return group

    def _commit(self, group: _Group) -> None:
        """Store ``group``, however often it takes."""
        while not self._leaving:
            try:
                self._append(group)
                return
            except (RowsRefused, pa.ArrowException) as error:
                _log.error("%d records are not taken by the store: %s", len(group.entries), error)
                if len(group.entries) == 1:
                    self._commit(_Group(group.entries, None))
                else:
                    for alone in [one for entry in group.entries for one in self._make([entry])]:
                        self._commit(alone)
                return
            except (StoreError, OSError) as error:
                self._wait(str(error))

    def _append(self, group: _Group) -> None:
        if group.tables is None:
            self._outlets.set_aside(group.entries[0])
            self._counters.set_aside.inc()
        tables = group.tables or {}
        began = time.perf_counter()
        self._store.append_spooled(tables, group.entries[-1].sequence)
        self._counters.commit_seconds.observe(time.perf_counter() - began)
        self._counters.commits.inc()
        for relation, table in tables.items():
            self._counters.committed.labels(relation).inc(table.num_rows)
        self._outlets.stored(group.entries)
        with self._changed:
            self._stored_until, self._trouble = group.entries[-1].sequence, ""
            self._tell("")

    def _wait(self, trouble: str) -> None:
        self._counters.failed_commits.inc()
        with self._changed:
            if trouble != self._trouble:
                _log.error("what is acknowledged stays in the spool, and is tried again: %s", trouble)
            self._trouble = trouble
            self._tell(trouble)
            self._changed.wait_for(lambda: self._leaving or self._closing, RETRY_S)
            self._leaving = self._leaving or self._closing

    def _tell(self, trouble: str) -> None:
        """Those who asked: the ones whose rows are stored, and all of them in trouble."""
        left = []
        for sequence, asked in self._asked:
            if sequence <= self._stored_until:
                asked.set_result(None)
            elif trouble:
                asked.set_exception(StoreError(trouble))
            else:
                left.append((sequence, asked))
        self._asked = left
        while self._added and self._added[0][1] <= self._stored_until:
            self._added.popleft()
