"""How much work spans leave out, read from the energy that they do not explain: for engines without counters.

Requests come and go by chance, so what they use in a stretch of time varies by the sum of their squared joules, nearly
(Campbell's theorem). What the visible ones should vary by is known from their spans; what the meter varies by beyond
them is noise, misplaced work, or requests that nobody saw. If all of it is the latter, and they are like the others,
the ratio of the two variances is the ratio of unseen work to seen work. Both are differences between neighbouring
stretches (Allan 1966), so that warming up does not look like requests. It is an estimate from above, good to a third
where arrivals are independent; it does not know requests that come in step with the visible ones.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from analytics.ledger.components import STEPS
from analytics.ledger.evidence import Evidence
from analytics.ledger.inputs import Flags, Floats, Ints
from analytics.ledger.placement import Placed

STRETCH: Final = 8  # intervals: longer than most requests
LEAST_STRETCHES: Final = 8  # else shorter ones


def overcharge(active: Floats, predicted: Floats, evidence: Sequence[Evidence], constants: Floats) -> float:
    """The share of visible requests' joules that may be unseen requests', 0 to 1.

    ``active`` and ``predicted`` [J] are per interval, ``constants`` (engines, components). 1 where too little is known.
    """
    known = np.min([one.known for one in evidence], axis=0)
    size = max(1, min(STRETCH, len(known) // LEAST_STRETCHES))
    whole = _stretches(known.astype(np.float64), size).min(axis=1) > 0
    pairs = whole[1:] & whole[:-1]
    if not pairs.any():
        return 1.0
    unexplained = np.diff(_stretches(active - predicted, size).sum(axis=1))[pairs]
    expected = np.sum([_expected(one, own, size, pairs) for one, own in zip(evidence, constants, strict=True)], axis=0)
    found, seen = float((unexplained**2).sum()), float(expected.sum())
    found *= 1 + np.sqrt(2 / len(unexplained))  # the standard error of a variance
    return found / (found + seen) if found > 0 else 0.0


def _expected(one: Evidence, own: Floats, size: int, pairs: Flags) -> Floats:
    """Sum over requests of the squared change of their joules, for each pair of neighbouring stretches.

    Steps count in so far as an unseen request would have made them alone: at times when nobody visible runs.
    """
    weights = own.copy()
    weights[STEPS] *= 1 - (one.occupied or 0.0)
    owner, stretch, joules = _by_stretch(one.claims, one.claims.parts @ weights, size)
    follows = (owner[1:] == owner[:-1]) & (stretch[1:] == stretch[:-1] + 1)
    count = len(pairs) + 1
    squares = np.bincount(stretch, joules**2, count)[:count]
    products = np.bincount(stretch[:-1][follows], (joules[1:] * joules[:-1])[follows], count)[:count]
    return np.asarray((squares[1:] + squares[:-1] - 2 * products[:-1])[pairs])


def _by_stretch(claims: Placed, joules: Floats, size: int) -> tuple[Ints, Ints, Floats]:
    """Owner, stretch and joules of every attempt in every stretch; its entries are consecutive."""
    stretch = claims.intervals // size
    first = np.flatnonzero(np.append(True, (np.diff(claims.attempts) != 0) | (np.diff(stretch) != 0)))
    if not len(joules):
        return claims.attempts, stretch, joules
    return claims.attempts[first], stretch[first], np.add.reduceat(joules, first)


def _stretches(values: Floats, size: int) -> Floats:
    """Rows of ``size`` values."""
    count = len(values) // size
    return np.asarray(values[: count * size].reshape(count, size))
