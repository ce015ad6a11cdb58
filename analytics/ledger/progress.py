"""How attempts advance through their phases, and in whose company.

Prefill advances evenly in time. Decode advances by engine steps, one position each: between two exports steps are
spread evenly over the time in which any visible attempt runs, because an engine without work makes none.
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
    """How many visible attempts run at a time."""

    def __init__(self, work: Work) -> None:
        moments = np.concatenate([work.prefill_from, ended(work)])
        order = np.argsort(moments, kind="stable")
        changes = np.concatenate([np.ones(len(work)), -np.ones(len(work))])[order]
        self.times = moments[order]
        running = np.maximum(np.cumsum(changes)[:-1], 0.0)
        lengths = np.diff(self.times)
        shares = np.where(running > 0, 1.0 / np.maximum(running, 1.0), 0.0)
        self._shared = np.concatenate([[0.0], np.cumsum(shares * lengths)])
        self._busy = np.concatenate([[0.0], np.cumsum((running > 0) * lengths)])

    def mean_share(self, begin: Floats, end: Floats) -> Floats:
        """Mean of 1/n over [begin, end); 0 where that is empty."""
        if not len(self.times):
            return np.zeros_like(begin)
        shared = np.interp(end, self.times, self._shared) - np.interp(begin, self.times, self._shared)
        length = end - begin
        return np.asarray(np.divide(shared, length, out=np.zeros_like(shared), where=length > 0))

    def busy(self, moments: Floats) -> Floats:
        """Seconds until each moment in which any visible attempt ran."""
        return np.asarray(np.interp(moments, self.times, self._busy)) if len(self.times) else np.zeros_like(moments)


class StepClock:
    """Engine steps until any moment, from the exported counter and the times in which attempts run."""

    def __init__(self, company: Company, export_times: Floats, steps: Floats) -> None:
        inside = company.times[(company.times > export_times[0]) & (company.times < export_times[-1])]
        self._times = np.union1d(export_times, inside)
        tick = np.clip(np.searchsorted(export_times, self._times, "right") - 1, 0, len(export_times) - 2)
        busy_at, busy = company.busy(export_times), company.busy(self._times)
        lengths, busy_lengths = np.diff(export_times)[tick], np.diff(busy_at)[tick]
        even = (self._times - export_times[tick]) / lengths
        share = np.divide(busy - busy_at[tick], busy_lengths, out=even, where=busy_lengths > 0)
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
