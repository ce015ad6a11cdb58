"""What a meter is off by is not its engines' work: idle energy takes it, as far as variances say so, within a band.

E_k differs from idle energy and prediction by what the prediction is wrong by, variance V_p, and by what the meter is
wrong by (noise, refresh, its clock), variance V_m. The best linear estimate of active energy is the prediction plus
V_p/(V_p + V_m) of the difference; the rest stays with idle energy, up to BAND of it. Where constants are sure this
keeps the meter's noise out of requests; where they are not, or a request is unlike any other, the meter has the word.
V_m is taken for the mean squared residual of the fit, which is too much where the prediction is to blame as well. It
does not know whether power at rest is the same while engines work.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.choice import Chosen
from analytics.ledger.claims import ratio
from analytics.ledger.evidence import Evidence
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.split import FORM, NEGLIGIBLE

BAND: Final = 0.1  # of idle energy: twice the 5 % that NVML's header gives for a reading of power


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a rule expects of the intervals that it splits, in J, and how sure it is."""

    intervals: Flags
    joules: Floats
    variance_j2: Floats  # of ``joules``
    meter_j2: float  # variance of what is metered beyond it


def prediction(rule: Chosen) -> Prediction | None:
    """None where constants are no joules, or nobody knows how sure they are."""
    fit = rule.fit
    if not rule.joules or fit.covariance is None or fit.residual_rms_j is None:
        return None
    return Prediction(rule.intervals, *_expected(rule.evidence, fit, fit.covariance), fit.residual_rms_j**2)


def _expected(evidence: tuple[Evidence, ...], fit: Fit, covariance: Floats) -> tuple[Floats, Floats]:
    """Joules per interval by the constants, and their variance: the constants' own, and FORM of each component."""
    work = np.concatenate([one.work for one in evidence], axis=1)
    parts = work * fit.constants.ravel()
    return parts.sum(axis=1), ((work @ covariance) * work).sum(axis=1) + FORM**2 * (parts**2).sum(axis=1)


def levelled(idle: Floats, active: Floats, predictions: list[Prediction]) -> Floats:
    """Joules per interval that are active energy and not idle, beyond ``active``; negative: the other way."""
    moved = np.zeros(len(active))
    for one in predictions:
        use = one.intervals & (one.joules > NEGLIGIBLE * one.joules.mean())
        of_meter = ratio(np.full(len(active), one.meter_j2), one.variance_j2 + one.meter_j2)
        wanted = np.clip(of_meter * (one.joules - active), -BAND * idle, BAND * idle)
        moved = np.where(use, np.maximum(wanted, -active), moved)
    return moved
