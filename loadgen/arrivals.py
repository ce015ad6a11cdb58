"""When requests are sent: offsets in seconds from the start of a run, computed whole before the first is sent.

A schedule that is drawn once cannot be bent by a slow server or by the number of workers; see ``docs/loadgen.md``.
"""

from typing import Final

import numpy as np

MAX_ARRIVALS: Final = 1_000_000
"""A schedule beyond this is a slip of a flag, not a load test for one process."""


def poisson(rate_per_s: float, duration_s: float, seed: int) -> tuple[float, ...]:
    """Arrivals of a Poisson process in ``[0, duration_s)``: independent exponential gaps with mean ``1/rate_per_s``.

    Raises ``ValueError`` for a rate or duration that gives no sensible schedule.
    """
    expected = _expected(rate_per_s, duration_s)
    rng = np.random.default_rng(seed)
    # Six standard deviations of a Poisson count (and a floor for small ones) make a second draw rare.
    block = int(expected + 6 * expected**0.5 + 16)
    times = np.cumsum(rng.exponential(1 / rate_per_s, block))
    while times[-1] < duration_s:
        times = np.concatenate([times, times[-1] + np.cumsum(rng.exponential(1 / rate_per_s, block))])
    return tuple(times[times < duration_s].tolist())


def constant(rate_per_s: float, duration_s: float) -> tuple[float, ...]:
    """Arrivals every ``1/rate_per_s`` seconds in ``[0, duration_s)``, the first at 0.

    Raises ``ValueError`` for a rate or duration that gives no sensible schedule.
    """
    count = int(np.ceil(_expected(rate_per_s, duration_s)))
    times = np.arange(count) / rate_per_s
    return tuple(times[times < duration_s].tolist())


def _expected(rate_per_s: float, duration_s: float) -> float:
    if not (rate_per_s > 0 and duration_s > 0):
        raise ValueError(f"rate and seconds must be above 0, got {rate_per_s} and {duration_s}")
    expected = rate_per_s * duration_s
    if not expected <= MAX_ARRIVALS:
        raise ValueError(f"{rate_per_s}/s for {duration_s} s is more than {MAX_ARRIVALS} requests: lower one of them")
    return expected
