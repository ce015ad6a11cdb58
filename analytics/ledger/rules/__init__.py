"""How active energy is split over work: one module per rule, its file name is the method that rows carry.

Each module has a class ``Rule``: ``evidence`` (``counters``, ``spans`` or ``busy_time``: what work is read from),
``joules`` (whether its constants are joules, so that prediction and residual mean something) and
``fit(work, active, usable, prior) -> Fit | None``; None: not identified, ask the next rule.
"""

from typing import Final, Protocol

from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats

ORDER: Final = ("counters_affine", "phase_weighted", "spans_affine", "time_overlap")
"""Tried from the front for every interval; the last one always applies."""


class RuleLike(Protocol):
    """What a module's ``Rule`` offers."""

    evidence: str
    joules: bool

    def fit(self, work: Floats, active: Floats, usable: Flags, prior: Fit | None) -> Fit | None:
        """Constants from work (intervals, engines, components), active joules and constants fitted before."""
