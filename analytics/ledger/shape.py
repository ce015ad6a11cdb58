"""How energy was spent between two readings of its counter, from power of the moment; the total stays the counter's.

With readings of power in between, energy grows as their integral does. With one at either end only, power is taken to
have switched once from the first to the second, at the moment that the counter's difference says: engines are busy or
they are not. Where the counter's mean lies outside the two, neither explains it, and energy grows evenly. It does not
know what happened between two readings of power, and takes no trailing means (``nvmlDeviceGetPowerUsage`` is one).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.inputs import Flags, Floats, Ints

AT_ONCE: Final = 0.1  # of a pair's length: a reading of power so close to one of the counter belongs to it
OF_THE_MOMENT: Final = ".instant"  # how sources of such power end (``nvml.instant``)


@dataclass(frozen=True, slots=True)
class Shape:
    """Power of the moment [W] at ``times`` (seconds from the origin, rising)."""

    times: Floats
    watts: Floats

    def spent(self, begin: Floats, end: Floats, joules: Floats, moments: Floats) -> Floats:
        """The share of ``joules``, spent from ``begin`` to ``end``, that was spent by ``moments`` within; 0 to 1."""
        length = end - begin
        even = np.clip(np.divide(moments - begin, length, out=np.zeros(len(moments)), where=length > 0), 0.0, 1.0)
        integrated = self._integral(moments) - self._integral(begin)
        whole = self._integral(end) - self._integral(begin)
        dense = (self._readings_within(begin, end) > 0) & (whole > 0)
        found = np.divide(integrated, whole, out=even.copy(), where=dense)
        return np.asarray(np.clip(np.where(dense, found, self._switched(begin, end, joules, even)), 0.0, 1.0))

    def covers(self, begin: Floats, end: Floats, widest: float) -> Flags:
        """Whether power was read from ``begin`` to ``end`` without a hole of more than ``widest`` seconds."""
        holes = np.concatenate([[0], np.cumsum(np.diff(self.times) > widest)])
        first = np.searchsorted(self.times, begin, "right") - 1
        last = np.searchsorted(self.times, end, "left")
        near = (begin - self.times[0] >= -widest) & (self.times[-1] - end >= -widest)
        size = len(self.times) - 1
        return np.asarray(near & (holes[np.clip(last, 0, size)] == holes[np.clip(first, 0, size)]))

    def _switched(self, begin: Floats, end: Floats, joules: Floats, even: Floats) -> Floats:
        """The share spent when power went from the reading at ``begin`` to the one at ``end`` in one step."""
        before, at_begin = self._nearest(begin)
        after, at_end = self._nearest(end)
        length = end - begin
        mean = np.divide(joules, length, out=np.zeros(len(length)), where=length > 0)
        explains = (np.minimum(before, after) < mean) & (mean < np.maximum(before, after))
        explains &= (at_begin <= AT_ONCE * length) & (at_end <= AT_ONCE * length)
        moment = np.divide(mean - after, before - after, out=np.zeros(len(mean)), where=explains)
        watts = before * np.minimum(even, moment) + after * np.maximum(even - moment, 0.0)
        return np.divide(watts, mean, out=even.copy(), where=explains)

    def _integral(self, moments: Floats) -> Floats:
        """Joules since the first reading, by trapezoids; the outermost readings hold beyond them."""
        steps = np.diff(self.times) * (self.watts[1:] + self.watts[:-1]) / 2
        done = np.concatenate([[0.0], np.cumsum(steps)])
        place = np.clip(np.searchsorted(self.times, moments, "right") - 1, 0, len(self.times) - 1)
        watts = np.interp(moments, self.times, self.watts)
        return np.asarray(done[place] + (moments - self.times[place]) * (self.watts[place] + watts) / 2)

    def _readings_within(self, begin: Floats, end: Floats) -> Ints:
        """Readings strictly inside, those at either end left out."""
        margin = AT_ONCE * (end - begin)
        first = np.searchsorted(self.times, begin + margin, "right")
        return np.asarray(np.maximum(np.searchsorted(self.times, end - margin, "left") - first, 0))

    def _nearest(self, moments: Floats) -> tuple[Floats, Floats]:
        """The reading nearest to each moment, and how far off it is [s]."""
        after = np.clip(np.searchsorted(self.times, moments), 0, len(self.times) - 1)
        before = np.maximum(after - 1, 0)
        closer = np.abs(self.times[before] - moments) < np.abs(self.times[after] - moments)
        place = np.where(closer, before, after)
        return self.watts[place], np.abs(self.times[place] - moments)
