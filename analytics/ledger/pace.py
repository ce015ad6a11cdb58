"""The pace of an engine's steps, read from spans alone: requests that decode together advance together.

Every decoding request makes one position per step (one per accepted run with speculation), so its decode steps over
its decode time are the engine's mean step rate during that time. The rate of every moment is found from those means by
Richardson–Lucy iterations: start from the mean rate of whoever decodes, then scale each moment by how far its requests
are off (Richardson 1972). A prompt takes one step for every USUAL_CHUNK positions. It does not know steps of requests
without spans when no visible one runs, nor the true size of a chunk.
"""

from typing import Final

import numpy as np

from analytics.ledger.inputs import Floats, Ints
from analytics.ledger.progress import ended, remembered
from analytics.ledger.work import Work

ITERATIONS: Final = 8
USUAL_CHUNK: Final = 2048  # prompt positions per step: vLLM's default max_num_batched_tokens
LARGEST_CORRECTION: Final = 4.0  # per iteration


def paced(work: Work) -> tuple[Floats, Floats]:
    """Moments, and the cumulative number of engine steps at each; empty without work."""
    if not len(work):
        return np.zeros(0), np.zeros(0)
    times = np.unique(np.concatenate([work.prefill_from, work.decode_from, ended(work)]))
    times = times[remembered(work, times)]
    lengths = np.diff(times)
    begun, until, own = _phases(work)
    first = np.minimum(_places(times, begun), len(times) - 2)
    last = np.maximum(_places(times, until), first + 1)
    rate = _mean_rates(times, first, last, own)
    count = _spread(first, last, np.ones(len(first)), len(lengths))
    for _ in range(ITERATIONS):
        steps = np.concatenate([[0.0], np.cumsum(rate * lengths)])
        made = steps[last] - steps[first]
        missed = np.divide(own, made, out=np.ones(len(made)), where=made > 0)
        correction = _spread(first, last, np.clip(missed, 1 / LARGEST_CORRECTION, LARGEST_CORRECTION), len(lengths))
        rate = rate * np.divide(correction, count, out=np.ones(len(rate)), where=count > 0.5)
    return times, np.concatenate([[0.0], np.cumsum(rate * lengths)])


def _phases(work: Work) -> tuple[Floats, Floats, Floats]:
    """Begin, end and steps of every decode, and of every prompt whose first token was seen."""
    decodes, prompts = work.decode_steps > 0, work.prefill_until <= work.decode_from
    begun = np.concatenate([work.decode_from[decodes], work.prefill_from[prompts]])
    until = np.concatenate([ended(work)[decodes], work.prefill_until[prompts]])
    chunks = np.maximum(work.prefilled[prompts] / USUAL_CHUNK, 1.0)
    return begun, until, np.concatenate([work.decode_steps[decodes], chunks])


def _mean_rates(times: Floats, first: Ints, last: Ints, own: Floats) -> Floats:
    """Mean steps per second of whoever is in a phase, in each piece of time."""
    size = len(times) - 1
    count = _spread(first, last, np.ones(len(own)), size)
    rates = own / (times[last] - times[first])
    return np.divide(_spread(first, last, rates, size), count, out=np.zeros(size), where=count > 0.5)


def _places(times: Floats, moments: Floats) -> Ints:
    return np.searchsorted(times, moments).astype(np.int64)


def _spread(first: Ints, last: Ints, values: Floats, size: int) -> Floats:
    """Sum, in each piece of time, of the values that span it from piece ``first`` to before ``last``."""
    change = np.bincount(first, values, size + 1) - np.bincount(last, values, size + 1)
    return np.asarray(np.maximum(np.cumsum(change)[:-1], 0.0))
