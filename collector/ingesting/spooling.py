"""One thread that puts what is taken in on disk: all that waits in one write and one sync (group commit).

A future is resolved after the sync that holds its record, or fails with what went wrong; nothing else acknowledges.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from collector.counters import Counters
from collector.spool.records import Record
from collector.spool.segments import Entry, Spool
from conventions.errors import StoreError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: Record
    done: "Future[None]"


class Spooler:
    """Appends to ``spool``. ``synced`` gets what is on disk before its senders are told, ``refused`` what failed."""

    def __init__(
        self,
        spool: Spool,
        counters: Counters,
        synced: Callable[[Sequence[Entry]], None],
        refused: Callable[[Sequence[Record]], None],
    ) -> None:
        self._spool = spool
        self._counters = counters
        self._synced = synced
        self._refused = refused
        self._waiting: list[_Waiting] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="spooler", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether anything can still be acknowledged."""
        return self._thread.is_alive() and not self._closing

    def submit(self, record: Record) -> "Future[None]":
        """Queue ``record``; the future resolves when it is on disk, or fails with a ``StoreError``."""
        waiting = _Waiting(record, Future())
        waiting.done.set_running_or_notify_cancel()  # a sender that leaves cannot take its place out of the batch
        with self._changed:
            if not self.alive:
                raise StoreError("nothing is taken in any more: the collector is stopping")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.done

    def close(self) -> None:
        """Take nothing more, sync what waits, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._gather():
                self._sync(batch)
        finally:
            self._abandon(batch)

    def _gather(self) -> list[_Waiting]:
        """All that waits; empty only at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            batch, self._waiting = self._waiting, []
            return batch

    def _sync(self, batch: list[_Waiting]) -> None:
        began = time.perf_counter()
        try:
            entries = self._spool.append([one.record for one in batch])
        except StoreError as error:
            _log.error("nothing acknowledged: %s", error)
            self._counters.failed_syncs.inc()
            self._fail(batch, error)
            return
        self._counters.sync_seconds.observe(time.perf_counter() - began)
        self._synced(entries)
        for one in batch:
            one.done.set_result(None)

    def _fail(self, batch: list[_Waiting], error: StoreError) -> None:
        self._refused([one.record for one in batch])
        for one in batch:
            one.done.set_exception(error)

    def _abandon(self, batch: list[_Waiting]) -> None:
        """The thread ends: whoever still waits is told, so that no request hangs."""
        with self._changed:
            self._closing = True
            left = [one for one in [*batch, *self._waiting] if not one.done.done()]
            self._waiting = []
        self._fail(left, StoreError("the spool's thread stopped before the sync"))
