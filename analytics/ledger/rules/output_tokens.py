"""Output tokens alone, as most reports do it; kept as a rival to measure against.

It undercharges long prompts (14–30 % median error; energy.md §3.7).
"""

from typing import Final

import numpy as np

from analytics.ledger.components import DECODE, NUM_COMPONENTS
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats


class Rule:
    """Decoded positions are all that counts."""

    evidence: Final = "busy_time"
    joules: Final = False

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:  # noqa: ARG002
        """One weight, on decoded positions; None without any."""
        if not work[..., DECODE].any():
            return None
        constants = np.zeros((work.shape[1], NUM_COMPONENTS))
        constants[:, DECODE] = 1.0
        return Fit(constants)
