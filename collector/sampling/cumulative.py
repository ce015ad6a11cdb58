"""Counters kept cumulative: a counter that goes back began anew, which is a gap for readers and never a negative."""

import math
from collections.abc import Hashable

SHORTEST_S = 1.0  # counters move in steps, which blur what is used in less


class Beginnings:
    """Since when each cumulative counter counts, as far as we can see.

    The first reading begins a series; a smaller value than the last begins it anew (driver reload, process restart),
    and so does a rise of more than ``most_per_s``: one wrong reading of 0 must not become all that was ever counted.
    """

    def __init__(self, most_per_s: float = math.inf) -> None:
        self._most_per_s = most_per_s
        self._last: dict[Hashable, tuple[float, int, int]] = {}

    def start_ns(self, series: Hashable, value: float, now_ns: int) -> int:
        """The start of ``series`` that belongs to ``value`` read at ``now_ns`` (UTC)."""
        last = self._last.get(series)
        start_ns = now_ns if last is None or self._is_broken(value - last[0], now_ns - last[1]) else last[2]
        self._last[series] = (value, now_ns, start_ns)
        return start_ns

    def _is_broken(self, rise: float, elapsed_ns: int) -> bool:
        return rise < 0 or rise > self._most_per_s * max(elapsed_ns * 1e-9, SHORTEST_S)

    def renew(self, series: Hashable) -> None:
        """Begin ``series`` anew at its next reading, whatever its value: nobody watched it meanwhile."""
        self._last.pop(series, None)
