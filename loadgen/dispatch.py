"""The open loop: one greenlet walks the schedule and starts a greenlet per request, never waiting for an answer."""

import gc
import time
from collections.abc import Callable, Sequence

import gevent
from gevent.pool import Group

from conventions.units import NANOSECONDS_PER_SECOND, nanoseconds_from_seconds
from loadgen.plan import PlannedRequest

Send = Callable[[PlannedRequest, int], None]
"""Sends one request whose scheduled time is given as ``perf_counter_ns``."""

_LEAD_S = 0.05  # the first request of a schedule is due at 0; nobody should be late before it began


class Dispatcher:
    """Starts requests at their times, at most ``max_in_flight`` at once."""

    def __init__(self, send: Send, max_in_flight: int) -> None:
        self._send = send
        self._max_in_flight = max_in_flight
        self._running = Group()
        self._stopped = False

    def run(self, requests: Sequence[PlannedRequest]) -> None:
        """Walk the whole schedule, then wait for the answers (each is bounded by its own timeout)."""
        # The plan is large and lives to the end: without it, a full collection stops no stopwatch for long.
        gc.collect()
        gc.freeze()
        origin_ns = time.perf_counter_ns() + nanoseconds_from_seconds(_LEAD_S)
        for request in requests:
            due_ns = origin_ns + nanoseconds_from_seconds(request.at_s)
            self._sleep_until(due_ns)
            if self._stopped:
                break
            # At the limit a request is left out: waiting for a place would make the loop a closed one.
            if len(self._running) < self._max_in_flight:
                self._running.start(gevent.Greenlet(self._send, request, due_ns))
        self._running.join()
        gc.unfreeze()

    def stop(self) -> None:
        """Send nothing more and cancel what is running; ``run`` returns soon after."""
        self._stopped = True
        self._running.kill(block=False)

    def _sleep_until(self, due_ns: int) -> None:
        while not self._stopped and (wait_ns := due_ns - time.perf_counter_ns()) > 0:
            # Short naps, so that stop() is not noticed minutes later in a sparse schedule.
            gevent.sleep(min(wait_ns / NANOSECONDS_PER_SECOND, 0.5))
