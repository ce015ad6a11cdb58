"""Evidence of an engine's work per energy interval: from its counters with spans as claims, or from spans alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analytics.ledger.claims import Claims, Ticks, busy_time, claim, reconcile, summed
from analytics.ledger.components import NUM_COMPONENTS
from analytics.ledger.engines import Engine
from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.pace import paced
from analytics.ledger.placement import Placed, place_claims, placement, straddling
from analytics.ledger.progress import ended
from analytics.ledger.series import Series, widest
from analytics.ledger.work import Work

COUNTERS: Final = "counters"
SPANS: Final = "spans"  # steps as the spans' own pace tells them
BUSY_TIME: Final = "busy_time"  # seconds of running in place of steps, output tokens in place of decoded positions


@dataclass(frozen=True, slots=True)
class Evidence:
    """One engine's work on the interval grid of one device, in units of its counters (or of spans)."""

    work: Floats  # (intervals, components): claimed + unclaimed
    unclaimed: Floats  # (intervals, components)
    claims: Placed
    known: Flags  # (intervals,)
    ticks: float = 1.0  # exports per interval: at every one of them a step may be counted on either side
    occupied: float | None = None  # spans alone: share of time in which one runs. None: all work is counted


def from_counters(engine: Engine, work: Work, meter: Series, edges: Floats) -> Evidence:
    """The engine's counters, claimed by ``work``; not known where an export is missing or the engine restarted."""
    samples = straddling(meter.times, edges)
    ticks = _placeable(engine.ticks, samples)
    cells = np.union1d(ticks.times, samples[(samples > ticks.times[0]) & (samples < ticks.times[-1])])
    tick_of = np.searchsorted(ticks.times, cells[:-1], "right") - 1
    claims = claim(work, cells, engine.steps.times, engine.steps.values, generated=ticks.decode_is_generated)
    claims, rest = reconcile(_in(claims, ticks.valid[tick_of]), tick_of, ticks)
    claimed_at = placement(cells, ticks.valid[tick_of], meter, edges)
    rest_at = placement(ticks.times, ticks.valid, meter, edges)
    placed, unclaimed = place_claims(claims, claimed_at), rest_at.place(rest * ticks.valid[:, None])
    exports = max(1.0, float(np.median(np.diff(edges)) / np.median(np.diff(ticks.times)))) if len(ticks.valid) else 1.0
    return Evidence(_work(placed, unclaimed), unclaimed, placed, rest_at.complete, exports)


def _placeable(ticks: Ticks, samples: Floats) -> Ticks:
    """``ticks`` of which a long one is valid only where all but a usual tick of it lies between two of ``samples``.

    When both the exports and the meter were silent it does not matter when in the silence the work was done.
    """
    valid = ticks.valid.copy()
    for tick in np.flatnonzero(ticks.long):
        begin, end = ticks.times[tick], ticks.times[tick + 1]
        inside = samples[np.searchsorted(samples, begin, "right") : np.searchsorted(samples, end, "left")]
        together = np.diff(np.concatenate([[begin], inside, [end]])).max()
        valid[tick] &= end - begin - together <= widest(ticks.times)
    return replace(ticks, valid=valid)


def from_spans(work: Work, meter: Series, edges: Floats, *, busy: bool = False) -> Evidence:
    """The work of visible spans as if it were all there was; ``busy``: seconds of running stand for steps."""
    cells = straddling(meter.times, edges)
    if busy:
        nothing: Floats = np.zeros(0)
        claims = busy_time(claim(work, cells, nothing, nothing, generated=True), work, cells)
    else:
        pace = paced(work)
        claims = claim(work, cells, *pace, generated=False, pace=pace)
    placed = place_claims(claims, placement(cells, np.ones(len(cells) - 1, np.bool_), meter, edges))
    unclaimed = np.zeros((len(edges) - 1, NUM_COMPONENTS))
    known = np.ones(len(edges) - 1, np.bool_)
    return Evidence(_work(placed, unclaimed), unclaimed, placed, known, occupied=_occupied(work))


def _occupied(work: Work) -> float:
    """Share of the time from the first to the last visible attempt in which at least one runs; 1 without any."""
    if not len(work):
        return 1.0
    order = np.argsort(work.prefill_from)
    begun, until = work.prefill_from[order], np.maximum.accumulate(ended(work)[order])
    empty = np.maximum(begun[1:] - until[:-1], 0.0).sum()
    return float(1 - empty / (until[-1] - begun[0]))


def jointly_known(evidence: Sequence[Evidence], visible: Sequence[Flags]) -> Flags:
    """Intervals in which every engine is known or has no visible work either (not started yet, or gone)."""
    size = len(evidence[0].known)
    every, some = np.ones(size, np.bool_), np.zeros(size, np.bool_)
    for one, seen in zip(evidence, visible, strict=True):
        every &= one.known | ~seen
        some |= one.known
    return every & some


def visible(work: Work, edges: Floats, slack_s: float) -> Flags:
    """Intervals in which any attempt runs, ``slack_s`` (an energy sample) more on either side."""
    busy = np.zeros(len(edges))
    first = np.searchsorted(edges, work.prefill_from - slack_s, "right") - 1
    last = np.searchsorted(edges, ended(work) + slack_s, "left")
    size = len(edges) - 1
    np.add.at(busy, np.clip(first, 0, size), 1.0)
    np.add.at(busy, np.clip(last, 0, size), -1.0)
    return np.asarray(np.cumsum(busy)[:-1] > 0)


def silenced(evidence: Evidence, intervals: Flags) -> Evidence:
    """``evidence`` with work in ``intervals`` only."""
    keep = intervals[evidence.claims.intervals]
    claims = evidence.claims
    kept = Placed(claims.attempts[keep], claims.intervals[keep], claims.parts[keep])
    mask = intervals[:, None]
    known = evidence.known & intervals
    return replace(evidence, work=evidence.work * mask, unclaimed=evidence.unclaimed * mask, claims=kept, known=known)


def _work(placed: Placed, unclaimed: Floats) -> Floats:
    """All work per interval: claimed and unclaimed sum to it by construction."""
    return summed(placed.intervals, placed.parts, len(unclaimed)) + unclaimed


def _in(claims: Claims, valid: Flags) -> Claims:
    """Claims in valid cells only."""
    keep = valid[claims.cells]
    return replace(
        claims,
        attempts=claims.attempts[keep],
        cells=claims.cells[keep],
        parts=claims.parts[keep],
        running_steps=claims.running_steps[keep],
    )
