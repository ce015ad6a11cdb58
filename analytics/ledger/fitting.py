"""Fits the constants of the affine step model: non-negative least squares over many intervals.

It says how well it did (R², condition number) and whether the constants are identified at all: the data must vary
and its columns must differ. Forms are tried from the richest down; a coarser form that is identified beats a
richer one that is not. Rows are weighted by the inverse of their variance, which is itself fitted to the squared
residuals of a first pass (feasible generalised least squares, Aitken 1935). It does not know whether the device's truth
is affine; ``local`` fits on intervals that are alike say how much that matters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import nnls

from analytics.ledger.claims import ratio
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
LARGEST_AMPLIFIED: Final = 0.05  # condition · misfit ÷ √rows: beyond the condition above noise must be this small
LEAST_R2: Final = 0.5
WORST_R2: Final = (
    -1.0
)  # below it something that mattered is missing, unless the misfit is small: a power cap holds still
SMALL_MISFIT: Final = 0.03
LARGEST_MISFIT: Final = 0.1  # relative; a full device draws nearly constant power, which leaves little for R²
MERGES: Final = (4, 2, 1)  # neighbouring intervals summed before fitting: exports smear work over interval edges
MERGED_ENOUGH: Final = 40
AGED: Final = 0.1  # relative; what constants from before may have changed by since
LEAST_PRIOR: Final = 1e-3  # of what all energy would make a constant: no constant from before is surer than that
LEAST_VARIANCE: Final = 0.1  # of the mean: no row is trusted more than that
GROUPS: Final = 4  # of alike intervals
LOCAL_CHANGE: Final = 1.0  # relative standard deviation of constants between groups, before they are looked at


@dataclass(frozen=True, slots=True)
class Fit:
    """Constants per engine and component; J per unit of each counter unless the rule's weights are only relative."""

    constants: Floats  # (engines, components)
    covariance: Floats | None = None  # (engines · components)², J²; None: no error is stated
    residual_rms_j: float | None = None  # per interval
    local: tuple["Local", ...] = ()
    r2: float | None = None
    condition: float | None = None
    intervals: int = 0
    anchored: bool = False  # in constants from before: not an observation of its own

    def remembered(self) -> Floats | None:
        """The covariance with what the constants differ by between groups: all that is kept of this fit's errors."""
        if self.covariance is None:
            return None
        spreads = [one.constants - self.constants.ravel() for one in self.local]
        return self.covariance + sum((spread.T @ spread / len(spread) for spread in spreads), np.zeros(1))


@dataclass(frozen=True, slots=True)
class Local:
    """Constants fitted on intervals that are alike, and which of them each interval belongs to."""

    constants: Floats  # (groups, engines · components)
    group: Ints  # (intervals,)


def fit_affine(work: Floats, active: Floats, usable: Flags, before: Fit | None = None) -> Fit | None:
    """Constants that explain ``active`` (intervals,) by ``work`` (intervals, engines, components).

    Where only a coarser form is identified, constants fitted ``before`` with a stated error say the rest, and the fit
    is ``anchored`` in them. None: not identified.
    """
    usable = usable & (work.sum(axis=(1, 2)) > 0)
    flat, engines = work.reshape(len(work), -1), work.shape[1]
    merged = list(_merged(flat, active, usable))
    for form in FORMS:
        for x, y, size in merged:
            columns, every = _columns(form, engines, x), _columns(FORMS[0], engines, x)
            solved = _solved(x, y, columns, every)
            if solved is not None:
                anchored = len(columns) < len(every) and before is not None and before.covariance is not None
                solved = _anchored(solved, x, y, every, before) if anchored and before else solved
                return _fit(solved, Intervals(flat, active, usable), every, size * solved.rows, anchored=anchored)
    return None


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals as they are: work (intervals, columns), active joules, and which of them were fitted on."""

    work: Floats
    active: Floats
    usable: Flags


@dataclass(frozen=True, slots=True)
class _Solved:
    """Constants of every column, those that the form leaves out at 0, and how sure they are."""

    constants: Floats  # (columns,)
    covariance: Floats  # (columns, columns)
    weights: Floats  # (rows,): one over the standard deviation of each row, up to a factor
    variance: float  # of a row so weighted
    r2: float
    condition: float
    rows: int


def _fit(solved: _Solved, rows: Intervals, columns: Ints, intervals: int, *, anchored: bool) -> Fit:
    size = rows.work.shape[1]
    constants, covariance = np.zeros(size), np.zeros((size, size))
    constants[columns] = solved.constants
    covariance[np.ix_(columns, columns)] = solved.covariance
    residual = (rows.active - rows.work @ constants)[rows.usable]
    used = columns[solved.constants > 0]
    return Fit(
        constants=constants.reshape(-1, NUM_COMPONENTS),
        covariance=covariance,
        residual_rms_j=float(np.sqrt(np.mean(residual**2))),
        local=tuple(_local(rows, used, constants, by) for by in _orders(rows.work)) if len(used) else (),
        r2=solved.r2,
        condition=solved.condition,
        intervals=intervals,
        anchored=anchored,
    )


def _columns(form: tuple[int, ...], engines: int, x: Floats) -> Ints:
    """Flat columns of ``form`` for every engine, without those that never move."""
    flat = np.array([engine * NUM_COMPONENTS + component for engine in range(engines) for component in form])
    return flat[x[:, flat].any(axis=0)] if len(x) else flat[:0]


def _solved(x: Floats, y: Floats, columns: Ints, every: Ints) -> _Solved | None:
    """Weighted least squares on ``columns``; None when they are not identified or explain too little.

    The covariance is that of ``every`` column, so that what the form leaves out because the data cannot tell it from
    the rest stays uncertain; no constant can be more than what all energy would make it.
    """
    needed = max(LEAST_INTERVALS, INTERVALS_PER_CONSTANT * len(columns))
    spread = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if not len(columns) or len(y) < needed or spread <= 0:
        return None
    own = x[:, columns]
    lengths = np.linalg.norm(own, axis=0)
    condition = float(np.linalg.cond(own / lengths))
    first, distance = nnls(own / lengths, y)
    r2, misfit = 1.0 - distance**2 / spread, float(np.sqrt(distance**2 / len(y)) / y.mean())
    if condition > LARGEST_CONDITION and condition * misfit / np.sqrt(len(y)) > LARGEST_AMPLIFIED:
        return None
    if (r2 < LEAST_R2 and misfit > LARGEST_MISFIT) or (r2 < WORST_R2 and misfit > SMALL_MISFIT):
        return None
    if not first.any():
        return None
    weights = 1 / np.sqrt(_variances(own @ (first / lengths), y))
    solution, distance = nnls(own / lengths * weights[:, None], y * weights)
    variance = distance**2 / max(len(y) - len(columns), 1)
    constants = np.zeros(len(every))
    constants[np.isin(every, columns)] = solution / lengths
    bounds = y.sum() / x[:, every].sum(axis=0)
    covariance = _inverse(_information(x[:, every], weights, variance) + np.diag(bounds**-2.0))
    return _Solved(constants, covariance, weights, variance, r2, condition, len(y))


def _anchored(solved: _Solved, x: Floats, y: Floats, every: Ints, before: Fit) -> _Solved:
    """``solved`` again with constants from ``before`` as observations, of which the rows here correct what they can."""
    known, bounds = before.constants.ravel()[every], y.sum() / x[:, every].sum(axis=0)
    assert before.covariance is not None
    spread = before.covariance[np.ix_(every, every)] + np.diag((AGED * known) ** 2 + (LEAST_PRIOR * bounds) ** 2)
    precision = _inverse(spread)
    variance = max(solved.variance, np.finfo(float).tiny)
    scale, root = solved.weights / np.sqrt(variance), np.linalg.cholesky(precision).T
    stacked, target = np.vstack([x[:, every] * scale[:, None], root]), np.concatenate([y * scale, root @ known])
    lengths = np.linalg.norm(stacked, axis=0)
    solution, _ = nnls(stacked / lengths, target)
    covariance = _inverse(_information(x[:, every], solved.weights, variance) + precision)
    return replace(solved, constants=solution / lengths, covariance=covariance)


def _information(x: Floats, weights: Floats, variance: float) -> Floats:
    """What the rows say about the constants: the inverse of their covariance."""
    scaled = x * weights[:, None]
    return np.asarray(scaled.T @ scaled / max(variance, np.finfo(float).tiny))


def _inverse(matrix: Floats) -> Floats:
    """Of a positive definite ``matrix``, scaled to ones on its diagonal first: constants differ by factors of 10⁵."""
    scale = 1 / np.sqrt(np.diag(matrix))
    return np.asarray(np.linalg.inv(matrix * np.outer(scale, scale)) * np.outer(scale, scale))


def _variances(predicted: Floats, y: Floats) -> Floats:
    """Variance of each row: a constant and a part in proportion to its energy, from squared residuals."""
    squared = (y - predicted) ** 2
    features = np.stack([np.ones(len(y)), (predicted / predicted.mean()) ** 2], axis=1)
    found, _ = nnls(features, squared)
    return np.asarray(np.maximum(features @ found, LEAST_VARIANCE * max(squared.mean(), np.finfo(float).tiny)))


def _orders(work: Floats) -> tuple[Floats, ...]:
    """Operating point of each interval: decoded and prompt positions per step, and time, for what warms up."""
    steps, prefilled, decoded = (work[:, column::NUM_COMPONENTS].sum(axis=1) for column in (STEPS, PREFILL, DECODE))
    return ratio(decoded, steps), ratio(prefilled, steps), np.arange(len(work), dtype=np.float64)


def _local(rows: Intervals, columns: Ints, constants: Floats, by: Floats) -> Local:
    """Constants of ``GROUPS`` groups of intervals in order of ``by``, near the global ones where a group says little.

    A ridge with a prior of LOCAL_CHANGE around the global constants keeps what a group does not identify where it is;
    the change is then shrunk by how much better it explains the group than chance would (James & Stein 1961).
    """
    limits = np.quantile(by[rows.usable], np.linspace(0, 1, GROUPS + 1)[1:-1])
    group = np.searchsorted(limits, by, "right").astype(np.int64)
    found = np.tile(constants, (GROUPS, 1))
    residual = rows.active - rows.work @ constants
    allowed = LOCAL_CHANGE * np.abs(constants[columns])
    for number in range(GROUPS):
        mine = rows.usable & (group == number)
        x = rows.work[np.ix_(mine, columns)] * allowed
        variance = max(float(np.mean(residual[rows.usable] ** 2)), np.finfo(float).tiny)
        change = np.linalg.solve(x.T @ x + variance * np.eye(len(columns)), x.T @ residual[mine])
        left = residual[mine] - x @ change
        explained = float((residual[mine] ** 2).sum() - (left**2).sum())
        noise = float((left**2).sum()) / max(len(left) - len(columns), 1)
        kept = max(0.0, 1 - len(columns) * noise / explained) if explained > 0 else 0.0
        found[number, columns] += kept * allowed * change
    return Local(np.maximum(found, 0.0), group)


def _merged(x: Floats, y: Floats, usable: Flags) -> Iterator[tuple[Floats, Floats, int]]:
    """Rows summed over runs of neighbouring usable intervals, from the longest runs that leave enough rows.

    Shorter ones keep intervals at the edges of load, whose different work may tell apart what long runs cannot.
    """
    for size in MERGES:
        count = len(y) // size
        whole = usable[: count * size].reshape(count, size).all(axis=1)
        if whole.sum() >= MERGED_ENOUGH or size == 1:
            summed_x = x[: count * size].reshape(count, size, -1).sum(axis=1)[whole]
            yield summed_x, y[: count * size].reshape(count, size).sum(axis=1)[whole], size
