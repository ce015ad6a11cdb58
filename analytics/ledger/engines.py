"""Engine counters as ticks: what each export added to steps, positions and contexts."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.claims import Ticks
from analytics.ledger.components import COUNTERS, DECODE, GENERATED, NUM_COMPONENTS, RUNNING_STEPS, STEPS
from analytics.ledger.inputs import Floats
from analytics.ledger.series import Series, series


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's counters; ``ticks`` has no rows when it exports none."""

    name: str
    ticks: Ticks
    steps: Series
    present: tuple[bool, ...]  # per component: whether the engine counts it


def read_engine(points: pa.Table, name: str, origin_ns: int, since_ns: int) -> Engine:
    """The counters of engine ``name`` among ``points``, on the export times of its first counter.

    ``points`` are all of its points from ``since_ns`` on; what began after it began at 0 (``series``).
    """
    own = points.filter(pc.equal(points["engine"], name))
    counters = {metric: _counter(own, metric, origin_ns, since_ns) for metric in (*COUNTERS, RUNNING_STEPS, GENERATED)}
    generated = not counters[COUNTERS[DECODE]].covers and counters[GENERATED].covers
    if generated:
        counters[COUNTERS[DECODE]] = counters[GENERATED]
    present = tuple(counters[metric].covers for metric in COUNTERS)
    return Engine(name, _ticks(counters, generated=generated), counters[COUNTERS[STEPS]], present)


def _ticks(counters: dict[str, Series], *, generated: bool) -> Ticks:
    covered = [one for one in counters.values() if one.covers]
    times: Floats = covered[0].times if covered else np.zeros(1)
    size = len(times) - 1
    increments, running = np.full((size, NUM_COMPONENTS), np.nan), np.full(size, np.nan)
    valid, long = np.full(size, bool(covered)), np.zeros(size, np.bool_)
    for component, metric in enumerate(COUNTERS):
        if counters[metric].covers:
            increments[:, component], known = counters[metric].between(times)
            valid, long = valid & known, long | _wide(counters[metric], times)
    if counters[RUNNING_STEPS].covers:
        running, known = counters[RUNNING_STEPS].between(times)
        valid &= known
    return Ticks(times, increments, running, valid, long, generated)


def _wide(counter: Series, times: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Ticks in which the counter was not exported for too long to say when its work was done."""
    holes = np.concatenate([[0], np.cumsum(counter.wide)])
    first = np.searchsorted(counter.times, times, "right") - 1
    last = np.searchsorted(counter.times, times, "left")
    size = len(holes) - 1
    return np.asarray(holes[np.clip(last[1:], 0, size)] > holes[np.clip(first[:-1], 0, size)])


def _counter(points: pa.Table, metric: str, origin_ns: int, since_ns: int) -> Series:
    own = points.filter(pc.equal(points["metric"], metric))
    return series(own, origin_ns, since_ns=since_ns, from_nothing=True)
