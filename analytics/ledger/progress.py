"""How attempts advance through their phases, and in whose company.

Prefill advances evenly in time. Decode advances by engine steps, one position each: how many there were between two
exports is counted, when they were is the pace of the spans (``pace``).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.work import Work

TIME_WEIGHT: Final = 1e-6  # steps per second added everywhere, so that the clock never stands still
MANY: Final = 1 << 15
"""Beginnings and ends of attempts that a curve over time is remembered at whatever they are: so many fit the cache."""
FINENESS: Final = 1e-3
"""With more, only those are that lie apart by this share of the time that the shortest tenth of attempts took."""


def ended(work: Work) -> Floats:
    """When each attempt stopped running."""
    return np.maximum(work.prefill_until, work.decode_until)


def remembered(work: Work, moments: Floats) -> Flags:
    """Which of ``moments``, in order, curves over the time of ``work`` need; the first and the last are."""
    if len(moments) <= MANY:
        return np.ones(len(moments), np.bool_)
    apart = FINENESS * float(np.quantile(ended(work) - work.prefill_from, 0.1))
    places = np.floor((moments - moments[0]) / apart) if apart > 0 else np.arange(len(moments))
    return np.concatenate([[True], np.diff(places[:-1]) > 0, [True]])


class Company:
    """How many visible attempts run at a time, step by step as ``clock`` counts them."""

    def __init__(self, work: Work, clock: "StepClock | Clock") -> None:
        self._clock = clock
        moments = np.concatenate([work.prefill_from, ended(work)])
        order = np.argsort(moments, kind="stable")
        changes = np.concatenate([np.ones(len(work)), -np.ones(len(work))])[order]
        running = np.maximum(np.cumsum(changes)[:-1], 0.0)
        steps = clock.at(moments[order])
        shares = np.where(running > 0, 1.0 / np.maximum(running, 1.0), 0.0)
        kept = remembered(work, moments[order])
        self._shared = np.concatenate([[0.0], np.cumsum(shares * np.diff(steps))])[kept]
        self._steps = steps[kept]

    def mean_share(self, begin: Floats, end: Floats) -> Floats:
        """Mean of 1/n over the steps in [begin, end); 0 where there are none."""
        if not len(self._steps):
            return np.zeros_like(begin)
        first, last = self._clock.at(begin), self._clock.at(end)  # steps pass unevenly between two changes of company
        shared = np.interp(last, self._steps, self._shared) - np.interp(first, self._steps, self._shared)
        length = last - first
        return np.asarray(np.divide(shared, length, out=np.zeros_like(shared), where=length > 0))


class StepClock:
    """Engine steps until any moment: from the exported counter between exports, from the spans' pace within."""

    def __init__(self, pace: tuple[Floats, Floats], export_times: Floats, steps: Floats) -> None:
        moments, paced = pace
        inside = moments[(moments > export_times[0]) & (moments < export_times[-1])]
        self._times = np.union1d(export_times, inside)
        tick = np.clip(np.searchsorted(export_times, self._times, "right") - 1, 0, len(export_times) - 2)
        at_export, at = (np.interp(times, moments, paced) if len(moments) else np.zeros_like(times)
                         for times in (export_times, self._times))  # fmt: skip
        lengths, paced_steps = np.diff(export_times)[tick], np.diff(at_export)[tick]
        even = (self._times - export_times[tick]) / lengths
        share = np.divide(at - at_export[tick], paced_steps, out=even, where=paced_steps > 0)
        self._steps = steps[tick] + share * np.diff(steps)[tick] + TIME_WEIGHT * self._times

    def at(self, moments: Floats) -> Floats:
        """Steps until ``moments``; beyond the exports only time passes."""
        beyond = np.minimum(moments - self._times[0], 0.0) + np.maximum(moments - self._times[-1], 0.0)
        return np.asarray(np.interp(moments, self._times, self._steps) + TIME_WEIGHT * beyond)


class Clock:
    """Plain time, for engines that export no steps."""

    def at(self, moments: Floats) -> Floats:
        """Seconds."""
        return moments


class Progress:
    """How attempts advance, by ``clock``."""

    def __init__(self, work: Work, clock: StepClock | Clock) -> None:
        self._work = work
        self._clock = clock
        self._first, self._last = clock.at(work.decode_from), clock.at(work.decode_until)

    def of(self, attempts: Ints) -> "Phases":
        """That of the attempts with the given numbers, one per entry."""
        work = self._work
        return Phases(
            work.prefill_from[attempts],
            work.prefill_until[attempts],
            work.decode_from[attempts],
            work.decode_until[attempts],
            self._first[attempts],
            self._last[attempts],
            self._clock,
        )


@dataclass(frozen=True, slots=True)
class Phases:
    """Progress, 0 to 1, of attempts at moments, one of each per entry."""

    prefill_from: Floats
    prefill_until: Floats
    decode_from: Floats
    decode_until: Floats
    first_step: Floats
    last_step: Floats
    clock: StepClock | Clock

    def prefill(self, moments: Floats) -> Floats:
        """Share of the prompt that is computed."""
        return _progress(self.prefill_from, self.prefill_until, moments)

    def decode(self, moments: Floats) -> Floats:
        """Share of the decoding that is done."""
        clamped = np.clip(moments, self.decode_from, self.decode_until)
        return _progress(self.first_step, self.last_step, self.clock.at(clamped))


def _progress(begin: Floats, end: Floats, at: Floats) -> Floats:
    return np.asarray(np.clip((at - begin) / (end - begin), 0.0, 1.0))
