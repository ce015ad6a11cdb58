"""Computed positions with fixed weights: a decoded one counts as 22 in prefill.

The ratio is one published pair of a 27B model at up to three lanes (energy.md §3.2: 0.176 and 3.80 J); it falls as
batches grow, so this rule only bridges the time until the constants are identified.
"""

from typing import Final

import numpy as np

from analytics.ledger.components import DECODE, NUM_COMPONENTS, PREFILL
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats

DECODE_WEIGHT: Final = 22.0


class Rule:
    """Weights, not joules."""

    evidence: Final = "counters"
    joules: Final = False

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:  # noqa: ARG002
        """The same weights for every engine; None where no positions are counted."""
        if not work[..., (PREFILL, DECODE)].any():
            return None
        constants = np.zeros((work.shape[1], NUM_COMPONENTS))
        constants[:, PREFILL], constants[:, DECODE] = 1.0, DECODE_WEIGHT
        return Fit(constants)
