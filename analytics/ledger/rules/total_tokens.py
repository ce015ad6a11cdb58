"""Prompt and output tokens alike, as many dashboards do it; kept as a rival to measure against.

It overcharges long prompts, by 142 % for one published pair of requests (energy.md §3.2).
"""

from typing import Final

import numpy as np

from analytics.ledger.components import DECODE, NUM_COMPONENTS, PREFILL
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats


class Rule:
    """Every computed position counts the same."""

    evidence: Final = "busy_time"
    joules: Final = False

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:  # noqa: ARG002
        """One weight, on prompt and decoded positions; None without any."""
        if not work[..., (PREFILL, DECODE)].any():
            return None
        constants = np.zeros((work.shape[1], NUM_COMPONENTS))
        constants[:, (PREFILL, DECODE)] = 1.0
        return Fit(constants)
