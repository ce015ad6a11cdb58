"""From answers with odds to the chance of being right: isotonic regression, and how well it holds on other questions.

Isotonic regression (Zadrozny & Elkan 2002; scipy's pool-adjacent-violators) assumes only that a surer answer is not
less often right. The feature is chosen by five-fold cross-validation on the calibration questions; the held-out ones
choose nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import beta

from conventions import confidence
from conventions.confidence import FEATURES, Calibration, TokenOdds
from conventions.errors import SettingsError

Vector = NDArray[np.float64]
FOLDS: Final = 5
BINS: Final = 10
THRESHOLDS: Final = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_SEED: Final = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer: the odds of its tokens (one at least), and whether it was right."""

    tokens: tuple[TokenOdds, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose stated chance lies in one tenth: their mean chance, the share of right ones, how many."""

    stated: float
    right: float
    count: int


def fit(judged: Sequence[Judged], model: str, weights: Path, split: str) -> Calibration:
    """The calibration of the best feature. Raises ``SettingsError`` for too few answers, or all of one kind."""
    right = np.array([one.right for one in judged], dtype=np.float64)
    if len(judged) < 2 * FOLDS or not 0 < right.sum() < len(judged):
        raise SettingsError(
            f"{int(right.sum())} of {len(judged)} answers are right: a calibration needs right and wrong ones, "
            f"{2 * FOLDS} in all at least; ask more questions"
        )
    feature = min(FEATURES, key=lambda name: cross_validated(raw(name, judged), right))
    knots, chances = _knots(raw(feature, judged), right)
    return Calibration(
        feature=feature, raw=tuple(knots.tolist()), chance=tuple(chances.tolist()), model=model,
        weights=fingerprint(weights), questions=len(judged), right=int(right.sum()), split=split,
    )  # fmt: skip


def raw(feature: str, judged: Sequence[Judged]) -> Vector:
    """The feature of every answer."""
    return np.array([FEATURES[feature](one.tokens) for one in judged])


def cross_validated(values: Vector, right: Vector) -> float:
    """Brier score of answers by a fit on the other folds."""
    order = np.random.default_rng(_SEED).permutation(len(values))
    stated = np.empty(len(values))
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        others = np.setdiff1d(order, held)
        stated[held] = np.interp(values[held], *_knots(values[others], right[others]))
    return brier(stated, right)


def brier(stated: Vector, right: Vector) -> float:
    """Mean square of chance minus outcome (Brier 1950); 0 is best."""
    return float(np.mean((stated - right) ** 2))


def bins(stated: Vector, right: Vector) -> list[Bin]:
    """Ten tenths of the stated chance, empty ones left out."""
    tenth = np.minimum((stated * BINS).astype(int), BINS - 1)
    inside = [tenth == index for index in range(BINS)]
    return [Bin(float(stated[at].mean()), float(right[at].mean()), int(at.sum())) for at in inside if at.any()]


def expected_error(found: Sequence[Bin]) -> float:
    """Expected calibration error (Guo et al. 2017): the bins' mean |stated − right|, by their answers."""
    return sum(one.count * abs(one.stated - one.right) for one in found) / sum(one.count for one in found)


def thresholds(stated: Vector, right: Vector) -> list[dict[str, Any]]:
    """At each threshold: the share of answers that are kept, the share of those that are wrong, and its upper bound.

    The bound is Clopper and Pearson's, one-sided at 95 %.
    """
    rows = []
    for threshold in THRESHOLDS:
        kept = stated >= threshold
        count, wrong = int(kept.sum()), int((1.0 - right[kept]).sum())
        bound = 1.0 if wrong == count else float(beta.ppf(0.95, wrong + 1, count - wrong))
        rows.append(
            {
                "threshold": threshold,
                "kept": count / len(stated),
                "wrong": wrong / count if count else None,
                "bound": bound,
            }
        )
    return rows


def report(calibration: Calibration, judged: Sequence[Judged]) -> dict[str, Any]:
    """How raw feature and calibrated chance hold on questions that the fit has not seen."""
    right = np.array([one.right for one in judged], dtype=np.float64)
    before = np.clip(raw(calibration.feature, judged), 0.0, 1.0)
    after = np.array([calibration.of(one.tokens) for one in judged])
    return {
        "questions": len(judged),
        "right": int(right.sum()),
        "before": _quality(before, right),
        "after": _quality(after, right),
        "thresholds": thresholds(after, right),
    }


def fingerprint(weights: Path) -> str:
    """Which weights they were: first 16 hex digits of the SHA-256 of the folder's files."""
    digest = hashlib.sha256()
    for path in sorted(weights.glob("model*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def stale(path: Path) -> str | None:
    """Why the calibration at ``path`` is not of the weights beside it; None when it is. Raises ``SettingsError``."""
    if confidence.read(path).weights == fingerprint(path.parent):
        return None
    return f"{path} is of other weights than those beside it; `tokenjoule calibrate` makes it anew"


def _quality(stated: Vector, right: Vector) -> dict[str, Any]:
    found = bins(stated, right)
    return {"ece": expected_error(found), "brier": brier(stated, right), "bins": found}


def _knots(values: Vector, right: Vector) -> tuple[Vector, Vector]:
    """Ends of the steps of the isotonic fit; answers of the same value are one point with their weight."""
    unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=right) / counts
    fitted = np.clip(isotonic_regression(means, weights=counts.astype(np.float64)).x, 0.0, 1.0)
    same_as_before = np.concatenate([[False], fitted[1:] == fitted[:-1]])
    same_as_after = np.concatenate([fitted[:-1] == fitted[1:], [False]])
    corner = ~(same_as_before & same_as_after)
    return unique[corner], fitted[corner]
