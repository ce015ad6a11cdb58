"""A device's power at no load, and what that rests on.

Stated by an estimating probe, else found at rest, else found before or the lowest power seen. The last is too high on a
device that never rested, and nothing in the data says by how much: then idle rows are estimates and errors are wide. A
GPU at work draws mostly what its engines' steps cost, so there half of the lowest stands in, the middle of what may be.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.inputs import Flags, Floats

IDLE_QUANTILE: Final = 0.1  # of the power of intervals without engine work: other processes come and go on a host
SAME_STATE: Final = 0.05  # above that quantile: a meter's noise around one power at rest, not other processes
IDLE_INTERVALS: Final = 3  # so many are needed, else the lowest power ever seen stands in
INTERCEPT_INTERVALS: Final = 20
INTERCEPT_SPREAD: Final = 0.3  # of the busiest: without load that varies there is no line
INTERCEPT_R2: Final = 0.8

LOWEST: Final = "lowest"
UNSEEN: Final = "unseen"
GUESSED: Final = {LOWEST: 3**-0.5, UNSEEN: 3**-0.5}
"""Bases that are guesses, and their standard error over the guess: anything from 0 to the lowest power is as likely.

Root mean square distances of a uniform distribution from its upper end, and from its middle (half of that over a half).
"""


def idle_se(idle_w: float, basis: str) -> float:
    """The standard error of ``idle_w`` in watts, where it is a guess; no other error has it in it."""
    return GUESSED.get(basis, 0.0) * idle_w


@dataclass(frozen=True, slots=True)
class Said:
    """What is known of a device's idle power before its intervals are looked at."""

    stated_w: float | None = None  # by an estimating probe
    before: tuple[float, str] | None = None  # found before: W, and the basis of that
    on_gpu: bool = False


def idle_power(power: Floats, cores: Floats, quiet: Flags, said: Said) -> tuple[float, str]:
    """Watts at no load and what they rest on, from intervals' power, busy cores (NaN: unknown) and lack of engine work.

    ``stated`` is an estimating probe's own word; else ``quiet``: the median of the lowest state over intervals
    without engine work, or, with fewer than three, what was found ``before`` or the ``lowest`` power of any interval
    if that is less; half of it on a GPU that was at work all the time, ``unseen``. What was a guess before is so still.
    Both are too high on a device that never idled, so a CPU's is also read off where its power at zero busy cores would
    be (``intercept``), and the lower one is taken.
    """
    if said.stated_w is not None:
        return said.stated_w, "stated"
    if int(quiet.sum()) >= IDLE_INTERVALS:
        found = [(_lowest_state(power[quiet]), "quiet")]
    else:
        found = [] if said.before is None else [_aged(*said.before)]
        if len(power):
            lowest, hidden = float(power.min()), said.on_gpu and not quiet.any() and not found
            found.append((lowest / 2, UNSEEN) if hidden else (lowest, LOWEST))
    intercept = _intercept(power, cores)
    found += [] if intercept is None else [(intercept, "intercept")]
    return min(found, default=(0.0, LOWEST))


def _aged(idle_w: float, basis: str) -> tuple[float, str]:
    """What was found before; a guess does not become a finding by being old."""
    return idle_w, basis if basis in GUESSED else "before"


def _lowest_state(power: Floats) -> float:
    """The median of what lies close to a low quantile: the quantile alone is low by the meter's noise."""
    low = float(np.quantile(power, IDLE_QUANTILE))
    return float(np.median(power[power <= low * (1 + SAME_STATE)]))


def _intercept(power: Floats, cores: Floats) -> float | None:
    """Power at zero busy cores, by least squares; None where too few intervals, too little spread or a poor fit.

    Power is close to linear in busy cores at one clock (Fan, Weber & Barroso 2007); frequency scaling bends it down at
    low load, so that the line may end too low or too high: it is kept above half of the lowest power seen.
    """
    known = ~np.isnan(cores)
    x, y = cores[known], power[known]
    if len(x) < INTERCEPT_INTERVALS or np.ptp(x) < INTERCEPT_SPREAD * x.max():
        return None
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - slope * x - intercept) ** 2).sum()) / spread if spread > 0 else 0.0
    return max(float(intercept), float(y.min()) / 2) if slope > 0 and r2 >= INTERCEPT_R2 else None
