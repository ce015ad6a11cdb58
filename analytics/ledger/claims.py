"""Claims: what part of each counter's increment an attempt's own work explains, cell by cell.

A tick is the time between two exports of an engine's counters; a cell is a piece of a tick. Claims of a component
above its counter in a tick are scaled down to it; what the counter has above the claims is unclaimed (work of
requests that sent no span). Fixed step energy is shared by the running requests of the moment: an attempt's part of
the steps is its own steps times 1/n(t), n from the visible attempts, scaled so that the claimed part of
`running_steps` is also the claimed part of the steps.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.components import DECODE, DECODE_CONTEXT, NUM_COMPONENTS, PREFILL, PREFILL_CONTEXT, STEPS
from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.pace import paced
from analytics.ledger.progress import Clock, Company, Progress, StepClock, ended
from analytics.ledger.work import SMALLEST_CHUNK, Work

ENTRIES_AT_ONCE: Final = 1 << 15  # arrays of so many stay in the cache, and memory does not grow with theirs
ROUNDING: Final = 1e-12  # of a counter's increment; a rest below it is none


@dataclass(frozen=True, slots=True)
class Claims:
    """One entry per attempt and cell that it ran in; the cells of one attempt are consecutive."""

    attempts: Ints  # index into the Work
    cells: Ints
    parts: Floats  # (entries, components), in the units of the counters
    running_steps: Floats  # (entries,): steps taken, each counted whole


@dataclass(frozen=True, slots=True)
class Ticks:
    """Increments of one engine's counters between exports; NaN columns for counters it does not have."""

    times: Floats  # (n + 1,) seconds from the origin
    increments: Floats  # (n, components)
    running_steps: Floats  # (n,); NaN: not exported
    valid: Flags  # (n,): counted, nothing restarted
    long: Flags  # (n,): nobody said for too long when in it the work was done
    decode_is_generated: bool  # decode counts output tokens, the first included (stock vLLM)


def claim(
    work: Work,
    cells: Floats,
    step_times: Floats,
    steps: Floats,
    *,
    generated: bool,
    pace: tuple[Floats, Floats] | None = None,
) -> Claims:
    """What ``work`` claims in each cell between the moments ``cells``, before anything is held against counters.

    ``steps`` is the cumulative step counter at ``step_times`` (empty: none); it paces decoding and says how many steps
    a long prefill took. ``generated``: decode positions are counted as output tokens. ``pace``: that of ``work``,
    where it is known already.
    """
    clock = StepClock(pace or paced(work), step_times, steps) if len(step_times) >= 2 else Clock()
    attempts, entries = _overlaps(work, cells)
    claimant = _Claimant(work, cells, clock, work.output if generated else work.decoded)
    parts, running = np.zeros((len(attempts), NUM_COMPONENTS)), np.zeros(len(attempts))
    for first in range(0, len(attempts), ENTRIES_AT_ONCE):
        some = slice(first, first + ENTRIES_AT_ONCE)
        parts[some], running[some] = claimant.claims(attempts[some], entries[some])
    return Claims(attempts, entries, parts, running)


class _Claimant:
    """What attempts claim in cells, with what is the same for all of them computed once."""

    def __init__(self, work: Work, cells: Floats, clock: StepClock | Clock, decoded: Floats) -> None:
        self._work = work
        self._cells = cells
        self._decoded = decoded
        self._company = Company(work, clock)
        self._progress = Progress(work, clock)
        self._prefill_steps = _prefill_steps(work, clock)

    def claims(self, attempts: Ints, entries: Ints) -> tuple[Floats, Floats]:
        """Parts and running steps of each attempt in its cell."""
        work, at = self._work, self._progress.of(attempts)
        begin, end = self._cells[entries], self._cells[entries + 1]
        u0, u1, v0, v1 = at.prefill(begin), at.prefill(end), at.decode(begin), at.decode(end)
        prompt, prefilled = work.prompt[attempts], work.prefilled[attempts]
        later = np.maximum(work.output[attempts] - 1, 0.0)
        decoded = self._decoded[attempts]
        parts = np.zeros((len(attempts), NUM_COMPONENTS))
        parts[:, PREFILL] = prefilled * (u1 - u0)
        parts[:, PREFILL_CONTEXT] = _context(work.cached[attempts], prefilled, u0, u1)
        parts[:, DECODE] = decoded * (v1 - v0)
        parts[:, DECODE_CONTEXT] = _context(prompt, later, v0, v1) * ratio(decoded, later)
        prefill_steps = self._prefill_steps[attempts] * (u1 - u0)
        decode_steps = work.decode_steps[attempts] * (v1 - v0)
        parts[:, STEPS] = prefill_steps * _share(self._company, at.prefill_from, at.prefill_until, begin, end)
        parts[:, STEPS] += decode_steps * _share(self._company, at.decode_from, at.decode_until, begin, end)
        return parts, prefill_steps + decode_steps


def reconcile(claims: Claims, tick_of: Ints, ticks: Ticks) -> tuple[Claims, Floats]:
    """``claims`` held against the counters, and the unclaimed rest (ticks, components), never negative.

    ``tick_of`` names the tick of every cell.
    """
    size, of = len(ticks.increments), tick_of[claims.cells]
    claimed = summed(of, claims.parts, size)
    counted = np.nan_to_num(_with_contexts(ticks.increments, claimed))
    coverage = _coverage(claims, of, ticks, claimed[:, DECODE])
    missed = counted[:, STEPS] * (1 - coverage)
    counted[:, STEPS] *= coverage
    counted = _neighbourly(counted, claimed, ticks.valid)
    factor = np.minimum(1.0, ratio(counted, claimed))
    factor[:, STEPS] = ratio(counted[:, STEPS], claimed[:, STEPS])
    counted[:, STEPS] += missed
    parts = claims.parts * factor[of]
    rest = counted - summed(of, parts, size)
    rest = np.where(rest > ROUNDING * counted, rest, 0.0)
    return Claims(claims.attempts, claims.cells, parts, claims.running_steps), rest


def _with_contexts(increments: Floats, claimed: Floats) -> Floats:
    """Increments with contexts that the engine does not count as the claims have them, in proportion to positions."""
    filled = increments.copy()
    for positions, context in ((PREFILL, PREFILL_CONTEXT), (DECODE, DECODE_CONTEXT)):
        if np.isnan(increments[:, context]).all() and not np.isnan(increments[:, positions]).all():
            filled[:, context] = claimed[:, context] * ratio(
                np.nan_to_num(increments[:, positions]), claimed[:, positions]
            )
    return filled


def _neighbourly(counted: Floats, claimed: Floats, valid: Flags) -> Floats:
    """Increments (ticks, columns) with what claims exceed them by taken from what neighbours have above their claims.

    Totals of attempts are exact, only their times are not: a counter counts a step when it ends, which may be a tick
    later than when the span says that it began (a 2,048-position prefill lasts 70 ms), and clocks differ.
    """
    moved = counted.copy()
    both = (valid[1:] & valid[:-1])[:, None]
    for short, spare in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        over, under = np.maximum(claimed - moved, 0.0), np.maximum(moved - claimed, 0.0)
        lent = np.where(both, np.minimum(over[short], under[spare]), 0.0)
        moved[short] += lent
        moved[spare] -= lent
    return moved


def busy_time(claims: Claims, work: Work, cells: Floats) -> Claims:
    """``claims`` with seconds of running, shared by the number that run, in place of steps."""
    begin = np.maximum(work.prefill_from[claims.attempts], cells[claims.cells])
    end = np.maximum(np.minimum(ended(work)[claims.attempts], cells[claims.cells + 1]), begin)
    parts = claims.parts.copy()
    parts[:, STEPS] = (end - begin) * Company(work, Clock()).mean_share(begin, end)
    return Claims(claims.attempts, claims.cells, parts, claims.running_steps)


def summed(index: Ints, values: Floats, size: int) -> Floats:
    """Sums of rows of ``values`` by ``index``."""
    return np.stack([np.bincount(index, column, size) for column in values.T], axis=1).astype(np.float64)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator over denominator; 0 where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def _coverage(claims: Claims, of: Ints, ticks: Ticks, claimed_decode: Floats) -> Floats:
    """The claimed share of each tick's steps, by `running_steps`; by output tokens where those are all there is.

    Without either it is 1 where anyone ran: coverage is unknown then.
    """
    size = len(ticks.increments)
    claimed = summed(of, claims.running_steps[:, None], size)[:, 0]
    counted = ticks.running_steps
    if np.isnan(counted).all() and ticks.decode_is_generated:
        counted, claimed = ticks.increments[:, DECODE], claimed_decode
    unknown = np.isnan(counted)
    held = _neighbourly(np.nan_to_num(counted)[:, None], claimed[:, None], ticks.valid)[:, 0]
    return np.where(unknown, claimed > 0, np.minimum(1.0, ratio(claimed, held)))


def _overlaps(work: Work, cells: Floats) -> tuple[Ints, Ints]:
    """Attempt and cell of every pair that overlaps in time."""
    first = np.maximum(np.searchsorted(cells, work.prefill_from, "right") - 1, 0)
    last = np.minimum(np.searchsorted(cells, ended(work), "left") - 1, len(cells) - 2)
    counts = np.maximum(last - first + 1, 0)
    attempts = np.repeat(np.arange(len(work)), counts)
    offsets = np.arange(len(attempts)) - np.repeat(np.cumsum(counts) - counts, counts)
    return attempts, first[attempts] + offsets


def _share(company: Company, phase_begin: Floats, phase_end: Floats, begin: Floats, end: Floats) -> Floats:
    """Mean of 1/n over the part of each phase that lies in its cell."""
    begin = np.maximum(phase_begin, begin)
    return company.mean_share(begin, np.maximum(np.minimum(phase_end, end), begin))


def _prefill_steps(work: Work, clock: StepClock | Clock) -> Floats:
    """Engine steps during each prefill: one, more where a long prompt was computed in chunks."""
    if isinstance(clock, Clock):
        return np.ones(len(work))
    passed = clock.at(work.prefill_until) - clock.at(work.prefill_from)
    return np.asarray(np.clip(passed, 1.0, np.maximum(1.0, work.prefilled / SMALLEST_CHUNK)))


def _context(before: Floats, positions: Floats, since: Floats, until: Floats) -> Floats:
    """Sum of contexts over the share [since, until) of ``positions``: each sees ``before`` and its predecessors.

    Whole positions give n·before + n(n − 1)/2; in between it grows as a smooth curve through both ends.
    """
    growth = np.maximum(positions - 1, 0.0) / 2
    return np.asarray(positions * (until - since) * (before + growth * (until + since)))
