"""Affine step model on engine counters: the rule of DESIGN §6, 2–3 % median error per request in simulation."""

from typing import Final

from analytics.ledger.fitting import Fit, fit_affine
from analytics.ledger.inputs import Flags, Floats


class Rule:
    """Constants fitted now; those fitted before for what the data does not identify."""

    evidence: Final = "counters"
    joules: Final = True

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:
        """See ``fitting.fit_affine``."""
        return fit_affine(work, active, usable, prior) or prior
