"""Cumulative counters as functions of time: differences between any two moments, and where there are none.

A counter that goes back, or whose start time changes, was restarted: the pair of samples around it is broken and any
interval that touches it has no difference. It is never taken for a wrap and never for a negative. Between two samples
it grows evenly, or, where power of the moment is known beside it, as that says (``shape``). Over a hole between two
samples the counter counted on: its joules are metered, only when they were spent is not. They are spread over the hole,
``placement`` spreads the work done in it the same way, and so the intervals that the hole touches are split as one.
Sums of power readings (sources that end in ``.power``) know nothing of a hole: there nothing is spread.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.shape import Shape

BRACKET_PERIODS: Final = 2.5  # an edge must lie between samples no further apart: one missing sample, with jitter
BRACKET_FLOOR_S: Final = 0.5  # for fast samplers: a hiccup this short misplaces little of a 2 s interval
BESIDE_S: Final = 0.02  # an edge so close to a sample lies on it: 1 % of the shortest interval


@dataclass(frozen=True, slots=True)
class Series:
    """A cumulative counter at ``times`` (seconds from the origin), rebased to 0 and never falling."""

    times: Floats
    values: Floats
    broken: Flags  # per pair of neighbouring samples: restarted in between
    wide: Flags  # per pair: too far apart to say when between them it grew
    shape: Shape | None = None
    counts_on: bool = True  # in a hole between two samples; False: it is a sum of readings, which were missing then

    @property
    def covers(self) -> bool:
        """Whether there is any difference to take."""
        return len(self.times) >= 2

    def at(self, moments: Floats) -> Floats:
        """The counter at ``moments``, constant outside its samples."""
        if not self.covers:
            return np.zeros_like(moments)
        pair, share = self._progress(moments)
        return np.asarray(self.values[pair] + share * (self.values[pair + 1] - self.values[pair]))

    def places(self, moments: Floats) -> Floats:
        """``moments`` as numbers of samples, the part after the point by the energy of the pair; beyond, by time."""
        pair, share = self._progress(moments)
        beyond = np.minimum(moments - self.times[0], 0.0) + np.maximum(moments - self.times[-1], 0.0)
        return np.asarray(pair + share + beyond)

    def between(self, edges: Floats) -> tuple[Floats, Flags]:
        """Differences over the intervals between ``edges``, and which of them are known.

        Known: inside the samples, and nothing restarted in between. Of a series that does not count on in a hole,
        moreover, no edge lies in one, unless power tells how energy was spent there. A hole inside an interval does no
        harm.
        """
        if not self.covers:
            return np.zeros(len(edges) - 1), np.zeros(len(edges) - 1, np.bool_)
        edges = self._beside(edges)
        known = (edges[:-1] >= self.times[0]) & (edges[1:] <= self.times[-1])
        first = np.searchsorted(self.times, edges, "right") - 1  # the sample at or before an edge
        last = np.searchsorted(self.times, edges, "left")  # the sample at or after it
        lost = self._in_hole(edges) & ~self._shaped(edges) & (not self.counts_on)
        breaks = np.concatenate([[0], np.cumsum(self.broken)])
        size = len(breaks) - 1
        restarted = breaks[np.clip(last[1:], 0, size)] - breaks[np.clip(first[:-1], 0, size)]
        return np.diff(self.at(edges)), known & ~lost[:-1] & ~lost[1:] & (restarted == 0)

    def estimated(self, edges: Floats) -> Flags:
        """Intervals with an edge in a hole: what they and their neighbours sum to is metered, how it falls is not."""
        if not self.covers:
            return np.zeros(len(edges) - 1, np.bool_)
        unsure = self._in_hole(self._beside(edges))
        return np.asarray(unsure[:-1] | unsure[1:])

    def _in_hole(self, moments: Floats) -> Flags:
        """Moments between two samples that are too far apart."""
        first = np.searchsorted(self.times, moments, "right") - 1
        last = np.searchsorted(self.times, moments, "left")
        return np.asarray((first != last) & self.wide[np.clip(first, 0, len(self.wide) - 1)])

    def _beside(self, moments: Floats) -> Floats:
        """``moments`` in a hole but beside one of its ends, moved onto it."""
        after = np.clip(np.searchsorted(self.times, moments, "left"), 1, len(self.times) - 1)
        for end in (self.times[after - 1], self.times[after]):
            moments = np.where(self.wide[after - 1] & (np.abs(moments - end) <= BESIDE_S), end, moments)
        return moments

    def _progress(self, moments: Floats) -> tuple[Ints, Floats]:
        """The pair of samples around each moment, and the share of its energy spent by then."""
        pair = np.clip(np.searchsorted(self.times, moments, "right") - 1, 0, len(self.times) - 2).astype(np.int64)
        begin, end = self.times[pair], self.times[pair + 1]
        if self.shape is None:
            return pair, np.clip((moments - begin) / (end - begin), 0.0, 1.0)
        joules = self.values[pair + 1] - self.values[pair]
        return pair, self.shape.spent(begin, end, joules, np.clip(moments, begin, end))

    def _shaped(self, moments: Floats) -> Flags:
        """Moments in a pair of samples all through which power was read as often as the counter should have been."""
        if self.shape is None:
            return np.zeros(len(moments), np.bool_)
        pair = np.clip(np.searchsorted(self.times, moments, "right") - 1, 0, len(self.times) - 2)
        return self.shape.covers(self.times[pair], self.times[pair + 1], widest(self.times))


def series(
    points: pa.Table,
    origin_ns: int,
    power: pa.Table | None = None,
    *,
    counts_on: bool = True,
    since_ns: int | None = None,
    from_nothing: bool = False,
) -> Series:
    """The series of one counter from its data points (``time_ns``, ``start_ns``, ``value``), in any order.

    Points sent twice count once. ``power``: points of the device's power of the moment. ``counts_on``: see ``Series``.
    ``since_ns``: a counter that says it began after that moment stood at 0 when it began; ``from_nothing``: and one
    whose first reading is 0 has counted nothing since then.
    """
    times_ns, starts_ns, values = (_numbers(points, name) for name in ("time_ns", "start_ns", "value"))
    order = np.lexsort((values, times_ns))
    order = order[np.append(np.diff(times_ns[order]) > 0, True)] if len(order) else order
    times_ns, starts_ns, values = times_ns[order], starts_ns[order], values[order]
    if since_ns is not None and len(order):
        times_ns, starts_ns, values = _with_beginnings(times_ns, starts_ns, values, since_ns, from_nothing)
    times = (times_ns - origin_ns) / 1e9
    steps, gaps = np.diff(values), np.diff(times)
    broken = (steps < 0) | (np.diff(starts_ns) != 0)
    rebased = np.concatenate([np.zeros(min(1, len(times))), np.cumsum(np.where(broken, 0.0, steps))])
    shape = None if power is None else _shape(power, origin_ns)
    wide = gaps > widest(times)
    if since_ns is not None:
        wide &= broken | (steps > 0)  # what did not count in a hole did nothing in it
    return Series(times.astype(np.float64), rebased, broken, wide, shape, counts_on)


def _with_beginnings(
    times_ns: Any, starts_ns: Any, values: Any, since_ns: int, from_nothing: bool
) -> tuple[Any, Any, Any]:
    """Readings of 0 where a counter began: after the last reading before it, and not before ``since_ns``.

    Before the first beginning there was nothing that it could have counted. A beginning at its first reading says that
    nobody knows since when it counted (OTLP's unknown start time).
    """
    first = np.append(True, np.diff(starts_ns) != 0)
    before = np.append(since_ns - 1, times_ns[:-1])
    told = np.flatnonzero(first & (starts_ns > before) & (times_ns - starts_ns > BESIDE_S * 1e9))
    begun = starts_ns[told]
    times_ns, starts_ns = np.insert(times_ns, told, begun), np.insert(starts_ns, told, begun)
    values = np.insert(values, told, np.zeros(len(told)))
    alone = bool(len(told) and told[0] == 0) or (from_nothing and values[0] == 0)
    if alone and times_ns[0] > since_ns:
        return np.append(since_ns, times_ns), np.append(starts_ns[0], starts_ns), np.append(0.0, values)
    return times_ns, starts_ns, values


def widest(times: Floats) -> float:
    """How far apart two samples may be for an edge between them, in seconds."""
    return max(BRACKET_FLOOR_S, BRACKET_PERIODS * float(np.median(np.diff(times)))) if len(times) > 1 else 0.0


def _shape(power: pa.Table, origin_ns: int) -> Shape | None:
    times, first = np.unique(_numbers(power, "time_ns"), return_index=True)
    if len(times) < 2:
        return None
    return Shape((times - origin_ns) / 1e9, np.maximum(_numbers(power, "value")[first], 0.0))


def edges_ns(window_ns: tuple[int, int], interval_s: int) -> Ints:
    """Interval edges at whole multiples of ``interval_s`` of UTC that cover ``window_ns``."""
    step = interval_s * 1_000_000_000
    start, end = window_ns[0] // step, -(-window_ns[1] // step)
    return np.arange(start, end + 1, dtype=np.int64) * step


def _numbers(points: pa.Table, column: str) -> Any:
    values = points[column]
    return pc.fill_null(values, pa.scalar(0, values.type)).to_numpy()
