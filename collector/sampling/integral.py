"""Energy of boards without a counter: their power, polled in a thread of its own and integrated by trapezoids.

Pascal and older show the power of the moment, which once a second would miss bursts. Polling is faster than those
boards refresh (100 ms). A hole longer than ``HOLE_S`` begins the series anew: what was used in it is not known.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

POLL_S = 0.05
HOLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Integrated:
    """Joules from ``start_ns`` to ``time_ns`` (UTC)."""

    joules: float
    time_ns: int
    start_ns: int


class PowerIntegral:
    """Integrates what ``power_w`` gives; ``None`` is a failed poll. ``close`` ends the thread."""

    def __init__(self, power_w: Callable[[], float | None]) -> None:
        self._power_w = power_w
        self._state: tuple[float, float, Integrated] | None = None  # monotonic s and W of the last poll
        self._closing = threading.Event()
        self._poll()
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)
        self._thread.start()

    def read(self) -> Integrated | None:
        """The integral at the last poll, or ``None`` while polls fail."""
        state = self._state
        return None if state is None or time.monotonic() - state[0] > HOLE_S else state[2]

    def close(self) -> None:
        """Stop polling."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(POLL_S):
            self._poll()

    def _poll(self) -> None:
        watts = self._power_w()
        if watts is None:
            return
        now_s, now_ns = time.monotonic(), time.time_ns()
        if self._state is None or now_s - self._state[0] > HOLE_S:
            self._state = (now_s, watts, Integrated(0.0, now_ns, now_ns))
            return
        last_s, last_w, so_far = self._state
        joules = so_far.joules + (now_s - last_s) * (watts + last_w) / 2.0
        self._state = (now_s, watts, Integrated(joules, now_ns, so_far.start_ns))
