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
    """Look at the counter for ``STEPS`` steps or ``longest_s``. Raises what ``read`` raises."""
    costs, periods = look(read, STEPS, longest_s)
    return Counting(statistics.median(costs), statistics.median(periods) if periods else None)


def look(read: Callable[[], int], steps: int, longest_s: float) -> tuple[list[float], list[float]]:
    """Seconds of every reading, and between neighbouring steps of the counter, until ``steps`` or ``longest_s``."""
    costs: list[float] = []
    moved: list[float] = []
    last: int | None = None
    end_s = time.monotonic() + longest_s
    while len(moved) < steps and (not costs or time.monotonic() < end_s):
        asked_s = time.perf_counter()
        value = read()
        answered_s = time.perf_counter()
        costs.append(answered_s - asked_s)
        if last is not None and value != last:
            moved.append(answered_s)
        last = value
        time.sleep(PAUSE_S)
    return costs, [later - earlier for earlier, later in itertools.pairwise(moved)]
