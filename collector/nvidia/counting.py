"""How long one reading of an energy counter takes, and how often the counter moves: measured, never assumed.

Boards differ by an order of magnitude in both (10 to 100 ms a step, 0.1 to 7 ms a reading). Energy over a span is
known to no better than one step of the counter at each end.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

STEPS = 4  # of the counter; three whole periods lie between them
LONGEST_S = 0.6  # five periods of the slowest counter that is known
PAUSE_S = 0.001


@dataclass(frozen=True, slots=True)
class Counting:
    """Seconds of one reading (median), and between two steps of the counter; ``None`` if it stood still meanwhile."""

    read_s: float
    refresh_s: float | None

    def __str__(self) -> str:
        step = "stood still" if self.refresh_s is None else f"steps every {self.refresh_s * 1e3:.0f} ms"
        return f"{step}, {self.read_s * 1e3:.2g} ms a reading"


def measure(read: Callable[[], int], longest_s: float = LONGEST_S) -> Counting:
    """Read until the counter has moved ``STEPS`` times or ``longest_s`` is over. Raises what ``read`` raises."""
    costs: list[float] = []
    moved: list[float] = []
    last: int | None = None
    end_s = time.monotonic() + longest_s
    while len(moved) < STEPS and (not costs or time.monotonic() < end_s):
        asked_s = time.perf_counter()
        value = read()
        answered_s = time.perf_counter()
        costs.append(answered_s - asked_s)
        if last is not None and value != last:
            moved.append(answered_s)
        last = value
        time.sleep(PAUSE_S)
    periods = [later - earlier for earlier, later in itertools.pairwise(moved)]
    return Counting(statistics.median(costs), statistics.median(periods) if periods else None)
