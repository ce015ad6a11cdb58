"""Fits the constants of the affine step model: non-negative least squares over many intervals.

It says how well it did (R², condition number) and whether the constants are identified at all: the data must vary
and its columns must differ. Forms are tried from the richest down; a coarser form that is identified beats a
richer one that is not. It does not know whether the device's truth is affine.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

from analytics.ledger.components import (
    DECODE,
    DECODE_CONTEXT,
    NUM_COMPONENTS,
    PREFILL,
    PREFILL_CONTEXT,
    STEPS,
)  # fmt: skip
from analytics.ledger.inputs import Flags, Floats, Ints

FORMS: Final = (
    (STEPS, PREFILL, PREFILL_CONTEXT, DECODE, DECODE_CONTEXT),
    (STEPS, PREFILL, DECODE, DECODE_CONTEXT),
    (STEPS, PREFILL, DECODE),
    (STEPS, PREFILL),
    (PREFILL, DECODE),
    (STEPS,),
)
LEAST_INTERVALS: Final = 12
INTERVALS_PER_CONSTANT: Final = 4
LARGEST_CONDITION: Final = 60.0  # of the columns scaled to equal length
LEAST_R2: Final = 0.5
LARGEST_MISFIT: Final = 0.1  # relative; a full device draws nearly constant power, which leaves little for R²
MERGES: Final = (4, 2, 1)  # neighbouring intervals summed before fitting: exports smear work over interval edges
MERGED_ENOUGH: Final = 40


@dataclass(frozen=True, slots=True)
class Fit:
    """Constants per engine and component; J per unit of each counter unless the rule's weights are only relative."""

    constants: Floats  # (engines, components)
    covariance: Floats | None = None  # (engines · components)², J²; None: no error is stated
    residual_rms_j: float | None = None  # per interval
    misfit: float = 0.0  # residual RMS ÷ mean active energy
    r2: float | None = None
    condition: float | None = None
    intervals: int = 0


def fit_affine(work: Floats, active: Floats, usable: Flags) -> Fit | None:
    """Constants that explain ``active`` (intervals,) by ``work`` (intervals, engines, components).

    None: not identified.
    """
    usable = usable & (work.sum(axis=(1, 2)) > 0)
    x, y, merged = _merge(work.reshape(len(work), -1), active, usable)
    for form in FORMS:
        columns = _columns(form, work.shape[1], x)
        fit = _fit_columns(x, y, columns, work.shape[1], merged)
        if fit is not None:
            return fit
    return None


def _columns(form: tuple[int, ...], engines: int, x: Floats) -> Ints:
    """Flat columns of ``form`` for every engine, without those that never move."""
    flat = np.array([engine * NUM_COMPONENTS + component for engine in range(engines) for component in form])
    return flat[x[:, flat].any(axis=0)] if len(x) else flat[:0]


def _fit_columns(x: Floats, y: Floats, columns: Ints, engines: int, merged: int) -> Fit | None:
    needed = max(LEAST_INTERVALS, INTERVALS_PER_CONSTANT * len(columns))
    spread = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if not len(columns) or len(y) < needed or spread <= 0:
        return None
    lengths = np.linalg.norm(x[:, columns], axis=0)
    scaled = x[:, columns] / lengths
    condition = float(np.linalg.cond(scaled))
    if condition > LARGEST_CONDITION:
        return None
    solution, distance = nnls(scaled, y)
    r2 = 1.0 - distance**2 / spread
    misfit = float(np.sqrt(distance**2 / len(y)) / y.mean())
    if (r2 < LEAST_R2 and misfit > LARGEST_MISFIT) or not solution.any():
        return None
    constants = np.zeros(engines * NUM_COMPONENTS)
    constants[columns] = solution / lengths
    variance = distance**2 / max(len(y) - np.count_nonzero(solution), 1)
    return Fit(
        constants=constants.reshape(engines, NUM_COMPONENTS),
        covariance=_covariance(scaled, lengths, columns, solution > 0, variance, len(constants)),
        residual_rms_j=float(np.sqrt(variance / merged)),
        misfit=float(np.sqrt(variance) / y.mean()),
        r2=r2,
        condition=condition,
        intervals=len(y) * merged,
    )


def _covariance(scaled: Floats, lengths: Floats, columns: Ints, kept: Flags, variance: float, size: int) -> Floats:
    """Of the constants that are not held at 0: σ² (XᵀX)⁻¹."""
    covariance = np.zeros((size, size))
    if kept.any():
        inverse = np.linalg.pinv(scaled[:, kept].T @ scaled[:, kept])
        chosen = columns[kept]
        covariance[np.ix_(chosen, chosen)] = variance * inverse / np.outer(lengths[kept], lengths[kept])
    return covariance


def _merge(x: Floats, y: Floats, usable: Flags) -> tuple[Floats, Floats, int]:
    """Rows summed over runs of neighbouring usable intervals: the longest runs that leave enough rows."""
    for size in MERGES:
        count = len(y) // size
        whole = usable[: count * size].reshape(count, size).all(axis=1)
        if whole.sum() >= MERGED_ENOUGH or size == 1:
            break
    summed_x = x[: count * size].reshape(count, size, -1).sum(axis=1)[whole]
    return summed_x, y[: count * size].reshape(count, size).sum(axis=1)[whole], size
