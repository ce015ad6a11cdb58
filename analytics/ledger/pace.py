"""The pace of an engine's steps, read from spans alone: requests that decode together advance together.

Every decoding request makes one position per step (one per accepted run with speculation), so its decode steps over
its decode time are the engine's mean step rate during that time. The rate of every moment is found from those means by
Richardson–Lucy iterations: start from the mean rate of whoever decodes, then scale each moment by how far its requests
are off. While only prompts are computed, each counts one step. It does not know steps of requests without spans when
no visible one runs, nor how a long prompt was cut into chunks.
"""

from typing import Final

import numpy as np

from analytics.ledger.inputs import Floats, Ints
from analytics.ledger.progress import ended
from analytics.ledger.work import Work

ITERATIONS: Final = 8
LARGEST_CORRECTION: Final = 4.0  # per iteration


def paced(work: Work) -> tuple[Floats, Floats]:
    """Moments, and the cumulative number of engine steps at each; empty without work."""
    if not len(work):
        return np.zeros(0), np.zeros(0)
    times = np.unique(np.concatenate([work.prefill_from, work.decode_from, ended(work)]))
    lengths = np.diff(times)
    rate = _own_rates(work, times)
    decoding = work.decode_steps > 0
    first, last = (_places(times, moments[decoding]) for moments in (work.decode_from, ended(work)))
    count = _spread(first, last, np.ones(len(first)), len(lengths))
    for _ in range(ITERATIONS):
        steps = np.concatenate([[0.0], np.cumsum(rate * lengths)])
        made = steps[last] - steps[first]
        missed = np.divide(work.decode_steps[decoding], made, out=np.ones(len(made)), where=made > 0)
        correction = _spread(first, last, np.clip(missed, 1 / LARGEST_CORRECTION, LARGEST_CORRECTION), len(lengths))
        rate = rate * np.divide(correction, count, out=np.ones(len(rate)), where=count > 0.5)
    return times, np.concatenate([[0.0], np.cumsum(rate * lengths)])


def _own_rates(work: Work, times: Floats) -> Floats:
    """Mean steps per second of whoever decodes in each piece of time; of whoever computes a prompt where none does."""
    rates = []
    for begin, end, steps in (
        (work.decode_from, ended(work), work.decode_steps),
        (work.prefill_from, work.prefill_until, np.ones(len(work))),
    ):
        some = steps > 0
        first, last = _places(times, begin[some]), _places(times, end[some])
        own = steps[some] / (end[some] - begin[some])
        size = len(times) - 1
        count = _spread(first, last, np.ones(len(own)), size)
        rates.append(np.divide(_spread(first, last, own, size), count, out=np.zeros(size), where=count > 0.5))
    return np.where(rates[0] > 0, rates[0], rates[1])


def _places(times: Floats, moments: Floats) -> Ints:
    return np.searchsorted(times, moments).astype(np.int64)


def _spread(first: Ints, last: Ints, values: Floats, size: int) -> Floats:
    """Sum, in each piece of time, of the values that span it from piece ``first`` to before ``last``."""
    change = np.bincount(first, values, size + 1) - np.bincount(last, values, size + 1)
    return np.asarray(np.maximum(np.cumsum(change)[:-1], 0.0))
