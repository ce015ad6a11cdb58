"""The share of its running time in which an attempt's energy was metered: below 1 its joules are those of a part.

Read off the settled intervals, which say it for every device: an interval without rows was not metered, ``gap`` is a
counter that began anew, ``unshared`` energy that may be the engine's or not. Of several devices the least counts. It
does not know a device that was silent all around an attempt: nothing there says that the engine used it.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats, Ints

NEEDED: Final = ("device", "engine", "started_at", "ended_at", "unattributed_reason")
"""Columns of ``energy_intervals`` that say what was metered."""
COVERAGE: Final = "energy_coverage"
GAP, UNSHARED = "gap", "unshared"
SHORTEST_US: Final = 50  # as short as any run is taken for
WHOLLY: Final = 1 - 1e-6  # from here on all of it was metered


def with_coverage(requests: pa.Table, attempts: pa.Table, intervals: pa.Table) -> tuple[pa.Table, pa.Table]:
    """``requests`` and ``attempts``, their joules filled in, with ``energy_coverage`` from 0 to 1.

    ``intervals``: all rows of ``energy_intervals`` (``NEEDED``) that the attempts overlap. NULL where joules are; 1
    where nothing ran. A request's is that of its attempts, by time; one without joules counts as not covered.
    """
    begun, ended, ran = _running(attempts)
    length = np.where(ran, ended - begun, 0).astype(np.float64)
    known = _flags(pc.is_valid(attempts["energy_j"]))
    share = np.where(ran, np.nan_to_num(_shares(attempts["engine"], begun, ended, intervals)), 1.0)
    own = pa.array(share, pa.float64(), mask=~known)
    times = {"length": length, "covered": length * share * known}
    summed = pa.table({"request_id": attempts["request_id"], **times}).group_by("request_id")
    sums = summed.aggregate([("length", "sum"), ("covered", "sum")])
    place = pc.index_in(requests["request_id"], value_set=sums["request_id"].combine_chunks()).combine_chunks()
    whole, covered = (sums[f"{name}_sum"].take(place) for name in ("length", "covered"))
    ratio = pc.divide(covered, pc.if_else(pc.greater(whole, 0.0), whole, None))
    total = pc.if_else(pc.is_valid(requests["energy_j"]), pc.coalesce(ratio, 1.0), pa.scalar(None, pa.float64()))
    return _put(requests, total), _put(attempts, own)


def _running(attempts: pa.Table) -> tuple[Ints, Ints, Flags]:
    """Microseconds of when each attempt began to run and ended, and whether it ever ran."""
    begun = _us(pc.coalesce(attempts["prefill_started_at"], attempts["started_at"]))
    ended = np.maximum(_us(attempts["ended_at"]), begun + SHORTEST_US)
    answered = pc.equal(attempts["outcome"], "answered")
    spoke = pc.greater(pc.fill_null(attempts["output_tokens"], 0), 0)
    return begun, ended, _flags(pc.or_(pc.or_(pc.is_valid(attempts["prefill_started_at"]), answered), spoke))


def _shares(engines: Any, begun: Ints, ended: Ints, intervals: pa.Table) -> Floats:
    """The metered share of [begun, ended) per attempt; NaN where no device is known to have served its engine."""
    found = np.full(len(begun), np.nan)
    for name in pc.unique(engines).to_pylist():
        mine = _flags(pc.equal(engines, name))
        for low, high in _metered(intervals, name):
            done = np.concatenate([[0], np.cumsum(high - low)])
            at = [_until(moments[mine], low, high, done) for moments in (begun, ended)]
            found[mine] = np.fmin(found[mine], (at[1] - at[0]) / (ended - begun)[mine])
    return found


def _metered(intervals: pa.Table, engine: str | None) -> Iterator[tuple[Ints, Ints]]:
    """Starts and ends [µs] of the metered intervals of each device that ``engine`` used in any of them."""
    used = intervals.filter(pc.equal(intervals["engine"], engine)) if engine is not None else intervals.slice(0, 0)
    for device in pc.unique(used["device"]).to_pylist():
        rows = intervals.filter(pc.equal(intervals["device"], device))
        starts, first, group = np.unique(_us(rows["started_at"]), return_index=True, return_inverse=True)
        own, gap, unshared = (
            np.bincount(group[_flags(pc.equal(rows[column], value))], minlength=len(starts)) > 0
            for column, value in (("engine", engine), ("unattributed_reason", GAP), ("unattributed_reason", UNSHARED))
        )
        metered = ~gap & (own | ~unshared)
        yield starts[metered], _us(rows["ended_at"])[first][metered]


def _until(moments: Ints, low: Ints, high: Ints, done: Ints) -> Ints:
    """Metered time before each moment; ``done`` is that before each interval."""
    place = np.searchsorted(low, moments, "right") - 1
    inside = np.minimum(moments, high[place]) - low[place] if len(low) else np.zeros_like(moments)
    return np.asarray(np.where(place < 0, 0, done[place] + inside))


def _us(moments: Any) -> Ints:
    return np.asarray(pc.cast(moments.cast(pa.timestamp("us")), pa.int64()).to_numpy())


def _flags(values: Any) -> Flags:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), np.bool_)


def _put(rows: pa.Table, values: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(COVERAGE), COVERAGE, values)
