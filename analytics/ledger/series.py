"""Cumulative counters as functions of time: differences between any two moments, and where there are none.

A counter that goes back, or whose start time changes, was restarted: the pair of samples around it is broken and any
interval that touches it has no difference. It is never taken for a wrap and never for a negative.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats, Ints

BRACKET_PERIODS: Final = 2.5  # an edge must lie between samples no further apart: one missing sample, with jitter
BRACKET_FLOOR_S: Final = 0.5  # for fast samplers: a hiccup this short misplaces little of a 2 s interval


@dataclass(frozen=True, slots=True)
class Series:
    """A cumulative counter at ``times`` (seconds from the origin), rebased to 0 and never falling."""

    times: Floats
    values: Floats
    broken: Flags  # per pair of neighbouring samples: restarted in between
    wide: Flags  # per pair: too far apart to interpolate between

    @property
    def covers(self) -> bool:
        """Whether there is any difference to take."""
        return len(self.times) >= 2

    def at(self, moments: Floats) -> Floats:
        """The counter at ``moments``, linear between samples, constant outside them."""
        return np.interp(moments, self.times, self.values) if self.covers else np.zeros_like(moments)

    def between(self, edges: Floats) -> tuple[Floats, Flags]:
        """Differences over the intervals between ``edges``, and which of them are known.

        Known: both edges lie on a sample or between two that are not too far apart, and nothing restarted in between.
        A hole inside an interval does no harm: the counter counted on.
        """
        if not self.covers:
            return np.zeros(len(edges) - 1), np.zeros(len(edges) - 1, np.bool_)
        known = (edges[:-1] >= self.times[0]) & (edges[1:] <= self.times[-1])
        first = np.searchsorted(self.times, edges, "right") - 1  # the sample at or before an edge
        last = np.searchsorted(self.times, edges, "left")  # the sample at or after it
        bracketed = (first == last) | ~self.wide[np.clip(first, 0, len(self.wide) - 1)]
        breaks = np.concatenate([[0], np.cumsum(self.broken)])
        size = len(breaks) - 1
        restarted = breaks[np.clip(last[1:], 0, size)] - breaks[np.clip(first[:-1], 0, size)]
        return np.diff(self.at(edges)), known & bracketed[:-1] & bracketed[1:] & (restarted == 0)


def series(points: pa.Table, origin_ns: int) -> Series:
    """The series of one counter from its data points (``time_ns``, ``start_ns``, ``value``), in any order.

    Points sent twice count once.
    """
    times_ns, starts_ns, values = (_numbers(points, name) for name in ("time_ns", "start_ns", "value"))
    order = np.lexsort((values, times_ns))
    order = order[np.append(np.diff(times_ns[order]) > 0, True)] if len(order) else order
    times = (times_ns[order] - origin_ns) / 1e9
    steps, gaps = np.diff(values[order]), np.diff(times)
    broken = (steps < 0) | (np.diff(starts_ns[order]) != 0)
    rebased = np.concatenate([np.zeros(min(1, len(order))), np.cumsum(np.where(broken, 0.0, steps))])
    limit = max(BRACKET_FLOOR_S, BRACKET_PERIODS * float(np.median(gaps))) if len(gaps) else 0.0
    return Series(times.astype(np.float64), rebased, broken, gaps > limit)


def edges_ns(window_ns: tuple[int, int], interval_s: int) -> Ints:
    """Interval edges at whole multiples of ``interval_s`` of UTC that cover ``window_ns``."""
    step = interval_s * 1_000_000_000
    start, end = window_ns[0] // step, -(-window_ns[1] // step)
    return np.arange(start, end + 1, dtype=np.int64) * step


def _numbers(points: pa.Table, column: str) -> Any:
    values = points[column]
    return pc.fill_null(values, pa.scalar(0, values.type)).to_numpy()
