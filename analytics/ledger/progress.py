"""How attempts advance through their phases, and in whose company.

Prefill advances evenly in time. Decode advances by engine steps, one position each: how many there were between two
exports is counted, when they were is the pace of the spans (``pace``).
"""

from typing import Final

import numpy as np

from analytics.ledger.inputs import Floats
from analytics.ledger.work import Work

TIME_WEIGHT: Final = 1e-6  # steps per second added everywhere, so that the clock never stands still


def ended(work: Work) -> Floats:
    """When each attempt stopped running."""
    return np.maximum(work.prefill_until, work.decode_until)


class Company:
    """How many visible attempts run at a time, step by step as ``clock`` counts them."""

    def __init__(self, work: Work, clock: "StepClock | Clock") -> None:
        self._clock = clock
        moments = np.concatenate([work.prefill_from, ended(work)])
        order = np.argsort(moments, kind="stable")
        changes = np.concatenate([np.ones(len(work)), -np.ones(len(work))])[order]
        self.times = moments[order]
        running = np.maximum(np.cumsum(changes)[:-1], 0.0)
        self._steps = clock.at(self.times)
        shares = np.where(running > 0, 1.0 / np.maximum(running, 1.0), 0.0)
        self._shared = np.concatenate([[0.0], np.cumsum(shares * np.diff(self._steps))])

    def mean_share(self, begin: Floats, end: Floats) -> Floats:
        """Mean of 1/n over the steps in [begin, end); 0 where there are none."""
        if not len(self.times):
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


class Phases:
    """Progress, 0 to 1, of the attempts with the given numbers (one per entry) at moments given per entry."""

    def __init__(
        self, work: Work, attempts: np.ndarray[tuple[int], np.dtype[np.int64]], clock: StepClock | Clock
    ) -> None:
        self.prefill_from, self.prefill_until = work.prefill_from[attempts], work.prefill_until[attempts]
        self.decode_from, self.decode_until = work.decode_from[attempts], work.decode_until[attempts]
        self._clock = clock
        self._first, self._last = clock.at(work.decode_from)[attempts], clock.at(work.decode_until)[attempts]

    def prefill(self, moments: Floats) -> Floats:
        """Share of the prompt that is computed."""
        return _progress(self.prefill_from, self.prefill_until, moments)

    def decode(self, moments: Floats) -> Floats:
        """Share of the decoding that is done."""
        clamped = np.clip(moments, self.decode_from, self.decode_until)
        return _progress(self._first, self._last, self._clock.at(clamped))


def _progress(begin: Floats, end: Floats, at: Floats) -> Floats:
    return np.asarray(np.clip((at - begin) / (end - begin), 0.0, 1.0))
