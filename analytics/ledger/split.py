"""Splits a pool's active energy: scale to the meter, joules per attempt and interval, and what stays unattributed.

On a GPU idle energy takes first what the meter is off by (``levelling``). Then
scale_k = active_k ÷ predicted_k; an attempt's energy is scale_k · Σ constants · its parts; unattributed is
scale_k · Σ constants · unclaimed, reason `unclaimed`. Active energy without predicted work is `no_work`. As claimed
and unclaimed work sum to the counters, the three sum to active_k: an identity, not a remainder.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from analytics.ledger.claims import ratio
from analytics.ledger.components import DECODE, DECODE_CONTEXT, NUM_COMPONENTS, PREFILL, STEPS
from analytics.ledger.evidence import Evidence
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.unseen import overcharge

GRANULE: Final = 2 / 12  # steps², the variance of two exports that cut a step anywhere
FIRST_STEP: Final = 0.5  # of b: experts that wake with a prompt (energy.md §3.3: mixtures of experts bend the line)
FORM: Final = 0.019  # relative; median error of a + b/B over 19 groups of models on H100 (energy.md §3.3)
NOISE_FLOOR: Final = 0.5  # of the fit's residual: an interval that happens to agree is no better measured
STEPWISE: Final = [STEPS, DECODE, DECODE_CONTEXT]
HOLE_NOISE: Final = 2.0  # of the fit's residual: an interval in a hole has a residual of its own, and nobody metered it
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


@dataclass(frozen=True, slots=True)
class Doubt:
    """What makes the active energy of intervals unsure, whatever the rule."""

    estimated: Flags  # metered together with its neighbours, placed by estimate
    idle_j: Floats  # standard error of active energy from an idle power that nobody saw
    moved: Floats  # joules that active energy has from idle energy (``levelling``)


def split(active: Floats, evidence: tuple[Evidence, ...], fit: Fit, doubt: Doubt) -> tuple[list[Share], Flags]:
    """Shares per engine, and the intervals in which the pool's work explains its active energy at all."""
    predicted = np.stack([one.work @ fit.constants[row] for row, one in enumerate(evidence)])
    whole, metered = predicted.sum(axis=0), active - doubt.moved
    explained = whole > NEGLIGIBLE * whole.mean()
    scale = np.divide(active, whole, out=np.zeros_like(active), where=explained)
    flat = np.concatenate([one.work for one in evidence], axis=1)
    partial = fit.covariance is not None and any(one.occupied is not None for one in evidence)
    unseen = overcharge(metered, whole, evidence, fit.constants) if partial else 0.0
    shares = []
    for row, one in enumerate(evidence):
        joules = one.claims.parts * fit.constants[row] * scale[one.claims.intervals][:, None]
        noise = _noise(metered - whole, fit, doubt)
        variance = _variance(row, one, fit, flat, whole, active, noise)
        variance += (unseen * joules.sum(axis=1)) ** 2 + _idle(one, joules, active, doubt)
        claimed = np.bincount(one.claims.intervals, joules.sum(axis=1), len(active)).astype(np.float64)
        unclaimed = scale * (one.unclaimed @ fit.constants[row])
        entries = (one.claims.attempts, one.claims.intervals, joules, variance)
        shares.append(Share(claimed, unclaimed, predicted[row] * explained, scale, *entries))
    return shares, explained


def _noise(residual: Floats, fit: Fit, doubt: Doubt) -> Floats:
    """What an interval's energy may be off by, in joules: its own residual, at least a part of the usual one."""
    return np.maximum(
        np.abs(residual), np.where(doubt.estimated, HOLE_NOISE, NOISE_FLOOR) * (fit.residual_rms_j or 0.0)
    )


def _variance(row: int, one: Evidence, fit: Fit, flat: Floats, whole: Floats, active: Floats, noise: Floats) -> Floats:
    """Variance of each entry's joules, in J²; NaN when the rule states no error. The sum of

    1. the constants' covariance, through the gradient of share · active (delta method);
    2. the form: what the entry would get by constants fitted on alike intervals alone (``fitting._local``), and
       FORM of each component by itself, which is how far the affine form is off where it was published;
    3. the meter: ``noise``, in proportion to the share;
    4. granularity: at every export one step may be counted on either side, and what it carries with it;
    5. a step that carries a prompt may cost more or less than b, and the prompt is the reason;
    6. steps that nobody claims: the visible may have shared theirs with them or not (uniform).

    Where spans are all there is, ``split`` adds what requests without spans may have used (``unseen``), and on a device
    that never rested what its idle power may be wrong by.
    """
    entries, parts = one.claims.intervals, one.claims.parts
    if fit.covariance is None or fit.residual_rms_j is None:
        return np.full(len(entries), np.nan)
    constants = fit.constants.ravel()
    columns = slice(row * NUM_COMPONENTS, (row + 1) * NUM_COMPONENTS)
    own, per_joule = constants[columns], ratio(active, whole)[entries]
    joules = (parts @ own) * per_joule
    gradient = -(joules * ratio(np.ones_like(whole), whole)[entries])[:, None] * flat[entries]
    gradient[:, columns] += parts * per_joule[:, None]
    variance = np.maximum(np.einsum("ij,jk,ik->i", gradient, fit.covariance, gradient), 0.0)
    variance += FORM**2 * ((gradient * constants) ** 2).sum(axis=1)
    for local in fit.local:
        alternative = local.constants[local.group]  # (intervals, columns)
        explained = ratio(active, (flat * alternative).sum(axis=1))
        variance += ((parts * alternative[entries, columns]).sum(axis=1) * explained[entries] - joules) ** 2
    variance += ((parts @ own) * ratio(noise, whole)[entries]) ** 2
    return np.asarray(variance + _unseen(one, own) * per_joule**2)


def _idle(one: Evidence, joules: Floats, active: Floats, doubt: Doubt) -> Floats:
    """Variance from an idle power nobody saw, per entry: what it hides is the steps' or everybody's, nobody knows."""
    entries = one.claims.intervals
    of_steps = one.claims.parts[:, STEPS] * ratio(doubt.idle_j, one.work[:, STEPS])[entries]
    in_proportion = joules.sum(axis=1) * ratio(doubt.idle_j, active)[entries]
    return np.asarray(of_steps**2 + in_proportion**2)


def _unseen(one: Evidence, own: Floats) -> Floats:
    """Terms 4 to 6 of ``_variance`` per entry, before scaling to the meter."""
    entries, parts = one.claims.intervals, one.claims.parts
    stepwise = parts[:, STEPWISE] @ own[STEPWISE]
    granules = ratio(np.full(len(one.work), one.ticks), one.work[:, STEPS])[entries]
    prompts = np.bincount(one.claims.attempts, parts[:, PREFILL]).astype(np.float64)[one.claims.attempts]
    first_step = own[STEPS] * ratio(parts[:, PREFILL], prompts)
    hidden = ratio(one.unclaimed[:, STEPS], one.work[:, STEPS])[entries] * parts[:, STEPS] * own[STEPS]
    return np.asarray(GRANULE * (stepwise * granules) ** 2 + (FIRST_STEP * first_step) ** 2 + hidden**2 / 12)
