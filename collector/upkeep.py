"""The store's housekeeping: sums hours and closes days that ended, seals old ones, forgets what is beyond its age or
the size allowed, deletes retired files.

A pass runs in a thread beside ingestion; appends wait only while a day's rows leave the database. What a pass did is
logged. When the clock has been set by more than an hour since the start nothing is forgotten until a restart: a clock
that ran into the future would otherwise make every day look old.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from analytics.hours.building import roll_up
from collector.background import background_thread
from collector.settings import UpkeepSettings
from conventions.errors import StoreError
from store import compaction, retention, sealing
from store.calendar import date_of
from store.retention import GIGABYTE
from store.writing import Store

_log = logging.getLogger(__name__)

DAY_S: Final = 86_400
SECOND_NS: Final = 1_000_000_000
CLOSED_AFTER_S: Final = 7_200.0  # by then hardly a span of the day is still on its way; one that is opens it again
SUMMED_AFTER_S: Final = 600.0  # an hour that is settled again later is summed again
CLOCK_TOLERANCE_S: Final = 3_600.0


def steady_s() -> float:
    """Seconds that no setting of the clock changes; sleep of the machine counts where the system tells it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Done:
    """What one pass did: days counted from 1970-01-01 UTC, and the bytes in use afterwards."""

    summed: int
    closed: list[int]
    sealed: list[int]
    forgotten: list[int]
    swept: int
    in_use: int

    def __str__(self) -> str:
        return (
            f"summed {self.summed} hours; "
            f"closed {_dates(self.closed)}; sealed {_dates(self.sealed)}; forgot {_dates(self.forgotten)}; "
            f"deleted {self.swept} retired files; "
            f"{self.in_use / 1e6:.1f} MB in use"
        )


class Upkeep:
    """Keeps ``store`` in order every ``settings.interval_s`` seconds."""

    def __init__(
        self,
        store: Store,
        settings: UpkeepSettings,
        wall_s: Callable[[], float] = time.time,
        steady_s: Callable[[], float] = steady_s,
    ) -> None:
        self._store = store
        self._settings = settings
        self._wall_s = wall_s
        self._steady_s = steady_s
        self._offset_s = wall_s() - steady_s()
        self._stopped = asyncio.Event()
        self._thread = background_thread("upkeep")

    async def run(self) -> None:
        """Make passes until ``stop``. One that the store refuses is logged and made again next time."""
        while not self._stopped.is_set():
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self.keep)
            except StoreError:
                _log.exception("an upkeep pass failed and will be made again")
            try:
                await asyncio.wait_for(self._stopped.wait(), self._settings.interval_s)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """End ``run`` after the pass that is under way."""
        self._stopped.set()

    def keep(self) -> Done:
        """One pass, now. Raises ``StoreError``."""
        today = int(self._wall_s() // DAY_S)
        swept = retention.sweep(self._store)
        summed = roll_up(self._store, round((self._wall_s() - SUMMED_AFTER_S) * SECOND_NS))
        closed = compaction.close(self._store, int((self._wall_s() - CLOSED_AFTER_S) // DAY_S))
        sealed = sealing.seal(self._store, today - self._settings.hot_days)
        forgotten = self._forget(today) if self._clock_holds() else []
        self._store.checkpoint()  # what an unreadable log could take away is an hour at most
        done = Done(summed, closed, sealed, forgotten, swept, retention.size(self._store))
        _log.log(
            logging.INFO if summed or closed or sealed or forgotten or swept else logging.DEBUG, "upkeep: %s", done
        )
        return done

    def _forget(self, today: int) -> list[int]:
        forgotten: list[int] = []
        if self._settings.keep_days is not None:
            forgotten += retention.expire(self._store, today - self._settings.keep_days)
        if self._settings.max_gb is not None:
            forgotten += retention.shrink(self._store, round(self._settings.max_gb * GIGABYTE), today)
        return forgotten

    def _clock_holds(self) -> bool:
        moved_s = self._wall_s() - self._steady_s() - self._offset_s
        if abs(moved_s) > CLOCK_TOLERANCE_S:
            _log.error("the clock was set by %.0f s: nothing is forgotten until a restart confirms it", moved_s)
            return False
        return True


def _dates(days: list[int]) -> str:
    return ", ".join(f"{date_of(day):%Y-%m-%d}" for day in days) or "nothing"
