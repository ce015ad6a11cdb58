"""What an engine step costs, and whose it is: the affine form, and truths that are not affine.

An attempt's true energy is its Shapley value in each step (energy.md §3.4): b/n plus its own marginals. Experts that
wake (mixture of experts) are a saturating game: loading all costs ``expert_j``, and each is loaded once if any position
in the step is routed to it, with probability ``routed`` per position. The Shapley value of that is the integral of the
multilinear extension (Owen 1972), taken by Gauss–Legendre quadrature. A power cap and drift scale a whole step, and
everyone in it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.inputs import Floats

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
NODES: Final = (_NODES + 1) / 2
WEIGHTS: Final = _WEIGHTS / 2
CAPPED_SLOWDOWN: Final = 0.6  # exponent of step time in demanded ÷ allowed power: energy falls, time grows (DVFS)


@dataclass(frozen=True, slots=True)
class Truth:
    """A machine; the defaults are an 8B model on an H100 (energy.md §3.7)."""

    b: float = 3.1  # J per step
    a_p: float = 0.012  # J per prompt position
    a_px: float = 0.0  # J per prompt position and position of context
    a_d: float = 0.068
    a_c: float = 2e-5
    idle_w: float = 80.0
    step_s: float = 0.0065
    running_s: float = 4e-5  # per running request and step
    position_s: float = 3e-5  # per prompt position
    chunk: int = 2048
    max_running: int = 256
    expert_j: float = 0.0  # J to load all experts once
    routed: float = 0.0  # probability that a position wakes a given expert
    cap_w: float = np.inf  # board power limit
    drift: float = 0.0  # relative rise of all power, idle too, when warm
    drift_s: float = 120.0  # time constant of warming up

    def warmth(self, moments_s: Floats) -> Floats:
        """Factor on power at moments since the load began."""
        return np.asarray(1 + self.drift * (1 - np.exp(-np.maximum(moments_s, 0.0) / self.drift_s)))

    def capped(self, joules: Floats, lengths_s: Floats) -> tuple[Floats, Floats, Floats]:
        """Active joules and lengths of steps under the power cap, from those without, and the weight of time.

        Capped energy is allowed power × time, and grows with demanded joules J and uncapped time L as J^α·L^(1−α),
        α = CAPPED_SLOWDOWN. Its Aumann–Shapley shares (Billera & Heath 1982) are α by joules and 1 − α by time.
        """
        allowed = self.cap_w - self.idle_w
        excess = np.maximum(joules / lengths_s / allowed, 1.0)
        by_time = np.where(excess > 1, 1 - CAPPED_SLOWDOWN, 0.0)
        return joules * excess ** (CAPPED_SLOWDOWN - 1), lengths_s * excess**CAPPED_SLOWDOWN, by_time

    def woken(self, positions: Floats) -> Floats:
        """Shapley values of requests with so many ``positions`` in a step, in the game of waking experts."""
        if not self.expert_j:
            return np.zeros(len(positions))
        wakes = 1 - (1 - self.routed) ** positions
        left = np.log1p(-np.outer(NODES, wakes) * (1 - 1e-12))
        others = np.exp(left.sum(axis=1, keepdims=True) - left)
        return np.asarray(self.expert_j * wakes * (WEIGHTS @ others))
