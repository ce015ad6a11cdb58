"""Counters kept cumulative: a counter that goes back began anew, which is a gap for readers and never a negative."""

from collections.abc import Hashable


class Beginnings:
    """Since when each cumulative counter counts, as far as we can see.

    The first reading begins a series; a smaller value than the last begins it anew (driver reload, process restart).
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[float, int]] = {}

    def start_ns(self, series: Hashable, value: float, now_ns: int) -> int:
        """The start of ``series`` that belongs to ``value`` read at ``now_ns`` (UTC)."""
        last = self._last.get(series)
        start_ns = now_ns if last is None or value < last[0] else last[1]
        self._last[series] = (value, start_ns)
        return start_ns

    def renew(self, series: Hashable) -> None:
        """Begin ``series`` anew at its next reading, whatever its value: nobody watched it meanwhile."""
        self._last.pop(series, None)
