"""The same affine form on the work of visible spans, for engines without counters.

Steps are those of the pace at which requests decode. It charges the visible for requests without spans; how much that
may be is read from what the meter varies by (``unseen``) and stated as an error.
"""

from typing import Final

from analytics.ledger.fitting import Fit, fit_affine
from analytics.ledger.inputs import Flags, Floats


class Rule:
    """Constants fitted now; those fitted before for what the data does not identify."""

    evidence: Final = "spans"
    joules: Final = True

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:
        """See ``fitting.fit_affine``."""
        return fit_affine(work, active, usable, prior) or prior
