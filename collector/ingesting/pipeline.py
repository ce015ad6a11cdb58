"""The way of a request: into the spool, which acknowledges it, and from there into the store.

What is between the two is bounded. When the store takes nothing, or its thread has died, requests are acknowledged only
up to that bound.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

import pyarrow as pa

from collector.counters import Counters
from collector.ingesting.backlog import Backlog
from collector.ingesting.making import record_of_rows
from collector.ingesting.spooling import Spooler
from collector.ingesting.storing import Outlets, SpooledStore, Storer, Tables
from collector.ingesting.tap import Tap
from collector.settings import QueueSettings
from collector.spool.records import Head, Record
from collector.spool.segments import Entry, Spool
from conventions.errors import StoreError

_log = logging.getLogger(__name__)

METRIC_POINTS: Final = "metric_points"
OURSELVES: Final = "tokenjoule-collector"
OLDEST_S: Final = 300.0
"""So old a spooled body gets at most before a checkpoint makes it needless: it may hold what the store must not."""
DRAIN_S: Final = 10.0


class PipelineStore(SpooledStore, Protocol):
    """The part of ``store.writing.Store`` that the pipeline needs."""

    @property
    def spooled_until(self) -> int:
        """The highest sequence number that is stored."""
        ...

    @property
    def held_until(self) -> int:
        """The highest that the database file holds, whatever becomes of its log."""
        ...

    def checkpoint(self) -> bool:
        """Bring the log into the file. Raises ``StoreError``; False when that has to wait."""
        ...


class Pipeline:
    """Spool and store. ``submit`` may be called from any thread; ``close`` ends both."""

    def __init__(
        self,
        store: PipelineStore,
        spool: Spool,
        tables: Callable[[Sequence[Entry]], Tables],
        settings: QueueSettings,
        counters: Counters,
    ) -> None:
        self._store = store
        self._spool = spool
        self._counters = counters
        self._lock = threading.Lock()
        self._backlog = Backlog(settings)
        self._tidied_s = time.monotonic()
        self._taps: tuple[Tap, ...] = ()
        self._make = tables
        self._storer = Storer(
            store, Outlets(self._tables, self._leave, spool.set_aside, self._tidy), settings, counters
        )
        if spool.left:
            with self._lock:
                for entry in spool.left:
                    self._backlog.again(entry.head.sender, entry.head.rows, _nbytes(entry.head, entry.found.nbytes))
            self._storer.add(spool.left)
        self._spooler = Spooler(spool, counters, self._storer.add, self._refused)

    @property
    def alive(self) -> bool:
        """Whether spooling and storing run."""
        return self._spooler.alive and self._storer.alive

    @property
    def trouble(self) -> str:
        """Why nothing is stored at the moment; empty when all is well."""
        return self._storer.trouble

    def submit(self, record: Record) -> "Future[None]":
        """Spool ``record``; the future resolves when it is on disk, or fails with a ``StoreError``.

        Raises ``Overloaded`` when too much waits for the store, or too much of this sender's, or at the end.
        """
        head = record.head
        with self._lock:
            if not self._spooler.alive:
                raise self._backlog.overloaded("the collector is stopping")
            self._backlog.enter(head.sender, head.rows, _nbytes(head, len(record.body)))
            self._show()
        try:
            return self._spooler.submit(record)
        except StoreError as error:
            self._refused([record])
            raise self._backlog.overloaded(str(error)) from None

    def submit_rows(self, relation: str, table: pa.Table) -> "Future[None]":
        """Spool rows that were made here."""
        return self.submit(record_of_rows(relation, table, OURSELVES, time.time_ns()))

    def caught_up(self, max_age_s: float = 0.0) -> "Future[None]":
        """Resolved when all that was acknowledged before this call is in the store; fails when it takes nothing.

        With ``max_age_s``: all that was acknowledged so long before it.
        """
        return self._storer.caught_up(max_age_s)

    def tap(self, metrics: frozenset[str]) -> Tap:
        """From now on, the points of ``metrics`` whose rows are made for the store, in the order of arrival."""
        opened = Tap(metrics)
        self._taps = (*self._taps, opened)
        return opened

    def close(self) -> None:
        """Take nothing more; store what waits. What the store does not take by then is stored after the next start."""
        self._spooler.close()
        self._storer.close(DRAIN_S)
        self._tidy(at_last=True)
        self._spool.close()

    def _tidy(self, *, at_last: bool = False) -> None:
        """Delete what the database file holds, after a checkpoint when it is time for one."""
        now_s = time.monotonic()
        stored = self._store.spooled_until > self._store.held_until
        if at_last or (stored and now_s - max(self._spool.oldest_s, self._tidied_s) > OLDEST_S):
            self._tidied_s = now_s
            try:
                self._store.checkpoint()
            except StoreError as error:
                _log.error("the spool keeps what is stored: %s", error)
        self._spool.release(self._store.held_until)
        if not at_last:
            self._spool.prepare()

    def _tables(self, entries: Sequence[Entry]) -> Tables:
        made = self._make(entries)
        for tap in self._taps if METRIC_POINTS in made else ():
            tap.observe(made[METRIC_POINTS])
        return made

    def _leave(self, entries: Sequence[Entry]) -> None:
        with self._lock:
            for entry in entries:
                self._backlog.leave(entry.head.sender, entry.head.rows, _nbytes(entry.head, entry.found.nbytes))
            self._show()

    def _refused(self, records: Sequence[Record]) -> None:
        with self._lock:
            for record in records:
                self._backlog.leave(record.head.sender, record.head.rows, _nbytes(record.head, len(record.body)))
            self._show()

    def _show(self) -> None:
        self._counters.queue_rows.set(self._backlog.rows)
        self._counters.queue_bytes.set(self._backlog.nbytes)


def _nbytes(head: Head, spooled: int) -> int:
    """What a record's rows will take: a small compressed body may make a thousand times its size of them."""
    return max(head.weight, spooled)
