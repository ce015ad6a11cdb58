"""Splits a pool's active energy: scale to the meter, joules per attempt and interval, and what stays unattributed.

scale_k = active_k ÷ predicted_k; an attempt's energy is scale_k · Σ constants · its parts; unattributed is
scale_k · Σ constants · unclaimed, reason `unclaimed`. Active energy without predicted work is `no_work`. As claimed
and unclaimed work sum to the counters, the three sum to active_k: an identity, not a remainder.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.components import NUM_COMPONENTS
from analytics.ledger.evidence import Evidence
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats, Ints

NEGLIGIBLE: Final = 1e-12  # of the pool's mean prediction: rounding of placed work, not work


@dataclass(frozen=True, slots=True)
class Share:
    """One engine's share of a pool's active energy. Intervals without any are 0."""

    claimed_j: Floats  # (intervals,)
    unclaimed_j: Floats
    predicted_j: Floats
    scale: Floats
    attempts: Ints  # (entries,) index into the engine's Work
    intervals: Ints
    joules: Floats  # (entries, components)
    variance_j2: Floats  # (entries,); NaN: not stated


def split(active: Floats, evidence: tuple[Evidence, ...], fit: Fit) -> tuple[list[Share], Flags]:
    """Shares per engine, and the intervals in which the pool's work explains its active energy at all."""
    predicted = np.stack([one.work @ fit.constants[row] for row, one in enumerate(evidence)])
    whole = predicted.sum(axis=0)
    explained = whole > NEGLIGIBLE * whole.mean()
    scale = np.divide(active, whole, out=np.zeros_like(active), where=explained)
    flat = np.concatenate([one.work for one in evidence], axis=1)
    shares = []
    for row, one in enumerate(evidence):
        joules = one.claims.parts * fit.constants[row] * scale[one.claims.intervals][:, None]
        variance = _variance(row, one, fit, flat, whole, active)
        claimed = np.bincount(one.claims.intervals, joules.sum(axis=1), len(active)).astype(np.float64)
        unclaimed = scale * (one.unclaimed @ fit.constants[row])
        entries = (one.claims.attempts, one.claims.intervals, joules, variance)
        shares.append(Share(claimed, unclaimed, predicted[row] * explained, scale, *entries))
    return shares, explained


def _variance(row: int, one: Evidence, fit: Fit, flat: Floats, whole: Floats, active: Floats) -> Floats:
    """Variance of each entry's joules, by the delta method; NaN when the rule states no error.

    Three sources: the constants' covariance; the misfit of the affine form, as an independent relative error of each
    component of the size of the fit's relative residual; and the residual itself as noise of the interval's energy,
    in proportion to the entry's share. An attempt that has the pool to itself is sure of the first two.
    """
    entries = one.claims.intervals
    if fit.covariance is None or fit.residual_rms_j is None:
        return np.full(len(entries), np.nan)
    constants = fit.constants.ravel()
    own = np.zeros((len(entries), len(constants)))
    own[:, row * NUM_COMPONENTS : (row + 1) * NUM_COMPONENTS] = one.claims.parts
    total = whole[entries]
    share = np.divide(own @ constants, total, out=np.zeros_like(total), where=total > 0)
    per_joule = np.divide(active[entries], total, out=np.zeros_like(total), where=total > 0)
    gradient = (own - share[:, None] * flat[entries]) * per_joule[:, None]
    covariance = fit.covariance + np.diag((fit.misfit * constants) ** 2)
    shape = np.einsum("ij,jk,ik->i", gradient, covariance, gradient)
    return np.asarray(np.maximum(shape, 0.0) + (share * fit.residual_rms_j) ** 2)
