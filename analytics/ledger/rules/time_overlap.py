"""Equal shares of the moment among the requests that run: needs nothing but spans with times.

Blind to what a request computes: 17 % median error at batch 24 (energy.md §3.7).
"""

from typing import Final

import numpy as np

from analytics.ledger.components import NUM_COMPONENTS, STEPS
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats


class Rule:
    """Busy time is all that counts."""

    evidence: Final = "busy_time"
    joules: Final = False

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:  # noqa: ARG002
        """One weight, on busy time."""
        constants = np.zeros((work.shape[1], NUM_COMPONENTS))
        constants[:, STEPS] = 1.0
        return Fit(constants)
