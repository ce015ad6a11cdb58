"""Puts work into energy intervals, with the smear that the energy itself has.

Energy samples do not fall on interval edges: the joules of a sample that straddles one are spread evenly over the
sample, whenever in it they were spent, or as power of the moment says (``shape``). Work in such a sample is spread the
same way, so that both land in the same intervals. An attempt can so pay in a neighbouring interval, at most one sample
period from where it ran. Work that nobody claims is known per export only and is first spread evenly over the export's
tick.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from analytics.ledger.claims import ENTRIES_AT_ONCE, Claims
from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.series import Series

COMPLETE: Final = 1 - 1e-6  # share of an interval's length that valid cells must cover


@dataclass(frozen=True, slots=True)
class Placement:
    """Weights (cells, intervals), CSR: the part of each cell's work that belongs to each interval."""

    weights: sparse.csr_array
    complete: Flags  # per interval: valid cells account for all of its time

    def place(self, values: Floats) -> Floats:
        """Rows of ``values`` per cell as rows per interval."""
        return np.asarray(self.weights.T @ values)


def straddling(samples: Floats, edges: Floats) -> Floats:
    """The ``samples`` next to each of ``edges``, and the outermost: all that placing needs of them."""
    before = np.searchsorted(samples, edges, "right") - 1
    after = np.searchsorted(samples, edges, "left")
    last = len(samples) - 1
    return np.asarray(samples[np.unique(np.clip(np.concatenate([before, after, [0, last]]), 0, last))])


def placement(cells: Floats, valid: Flags, meter: Series, edges: Floats) -> Placement:
    """How work of ``cells`` lands in the intervals between ``edges`` when energy was sampled as ``meter`` was."""
    samples = straddling(meter.times, edges)
    on_samples = _overlap(cells, samples)
    even = sparse.csr_array(on_samples @ _overlap(samples, edges))
    complete = even.T @ (np.diff(cells) * valid) >= np.diff(edges) * COMPLETE
    if meter.shape is None:
        return Placement(even, complete)
    return Placement(sparse.csr_array(on_samples @ _overlap(meter.places(samples), meter.places(edges))), complete)


class Spread:
    """Puts what another counter counted into the intervals between ``edges`` as ``meter`` puts its energy there.

    What was counted between two samples of the meter is spread over them like their joules, so that in a hole of the
    meter both are what they are over all of it.
    """

    def __init__(self, meter: Series, edges: Floats) -> None:
        self.intervals = len(edges) - 1
        self._samples = straddling(meter.times, edges)
        self._of_samples, self._of_edges = meter.places(self._samples), meter.places(edges)

    def __call__(self, counted: Callable[[Floats], Floats]) -> Floats:
        """Increments per interval of ``counted``, the total by any moment; none outside the meter's samples."""
        return np.diff(np.interp(self._of_edges, self._of_samples, counted(self._samples)))


def _overlap(begin: Floats, end: Floats) -> sparse.csr_array:
    """(cells of ``begin``, cells of ``end``): the share of each first cell that lies in each second one."""
    rows, columns, lengths = _common_pieces(begin, end)
    return sparse.csr_array((lengths / np.diff(begin)[rows], (rows, columns)), shape=(len(begin) - 1, len(end) - 1))


def _common_pieces(one: Floats, other: Floats) -> tuple[Ints, Ints, Floats]:
    """Cut the time that both grids cover at every edge of either; the cell of each piece in both, and its length."""
    cuts = np.union1d(one, other)
    if len(one) and len(other):
        cuts = cuts[(cuts >= max(one[0], other[0])) & (cuts <= min(one[-1], other[-1]))]
    middles = (cuts[:-1] + cuts[1:]) / 2
    rows = np.searchsorted(one, middles) - 1
    columns = np.searchsorted(other, middles) - 1
    return rows, columns, np.diff(cuts)


@dataclass(frozen=True, slots=True)
class Placed:
    """Claims per attempt and interval, each pair once."""

    attempts: Ints
    intervals: Ints
    parts: Floats  # (entries, components)


def place_claims(claims: Claims, where: Placement) -> Placed:
    """``claims`` moved from cells to intervals. Linear in the pairs of attempt and interval."""
    placed = [_placed(claims, some, where.weights) for some in _whole_attempts(claims.attempts)]
    return Placed(
        np.concatenate([one.attempts for one in placed]),
        np.concatenate([one.intervals for one in placed]),
        np.concatenate([one.parts for one in placed]),
    )


def _whole_attempts(attempts: Ints) -> Iterator[slice]:
    """All entries in order, about ``ENTRIES_AT_ONCE`` a time, those of one attempt together; at least one slice."""
    first = 0
    while not first or first < len(attempts):
        next_one = min(first + ENTRIES_AT_ONCE, len(attempts))
        end = int(np.searchsorted(attempts, attempts[next_one - 1], "right")) if len(attempts) else 1
        yield slice(first, end)
        first = end


def _placed(claims: Claims, some: slice, weights: sparse.csr_array) -> Placed:
    cells = claims.cells[some]
    counts = np.diff(weights.indptr)[cells]
    source = np.repeat(np.arange(len(cells)), counts)
    offsets = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
    entries = weights.indptr[cells][source] + offsets
    parts = claims.parts[some][source] * weights.data[entries][:, None]
    return _merged(claims.attempts[some][source], weights.indices[entries].astype(np.int64), parts)


def _merged(attempts: Ints, intervals: Ints, parts: Floats) -> Placed:
    """Sums by (attempt, interval), without sorting: the intervals of one attempt are one run of numbers."""
    if not len(attempts):
        return Placed(attempts, intervals, parts)
    lowest = int(attempts[0])
    attempts = attempts - lowest
    size = int(attempts[-1]) + 1
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, -1)
    np.minimum.at(first, attempts, intervals)
    np.maximum.at(last, attempts, intervals)
    widths = np.maximum(last - first + 1, 0)
    widths[last < 0] = 0
    starts = np.cumsum(widths) - widths
    slots = starts[attempts] + intervals - first[attempts]
    total = int(widths.sum())
    summed = np.stack([np.bincount(slots, column, total) for column in parts.T], axis=1).astype(np.float64)
    owners = np.repeat(np.arange(size), widths)
    places = np.arange(total) - np.repeat(starts, widths) + first[owners]
    used = summed.any(axis=1)
    return Placed(owners[used] + lowest, places[used], summed[used])
