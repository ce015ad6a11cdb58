"""What the answers of one variant add up to: quality with its interval, latency percentiles, joules per success."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from training.evaluation.asking import Answer

MIX: Final = "mix"
_PERCENTILES: Final = (50, 95)


@dataclass(frozen=True, slots=True)
class Share:
    """Right answers out of all asked; ``low`` and ``high`` are Wilson's 95 % interval (1927)."""

    right: int
    asked: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger says of one request: joules of all its attempts, in which quality, and who answered."""

    energy_j: float | None
    energy_quality: str | None
    success: bool
    output_tokens: int | None
    tier: str | None
    escalated_from: str | None


def share(right: int, asked: int) -> Share:
    """With Wilson's interval. ``asked`` must be at least 1."""
    interval = binomtest(right, asked).proportion_ci(0.95, method="wilson")
    return Share(right, asked, right / asked, float(interval.low), float(interval.high))


def quality(answers: Sequence[Answer]) -> dict[str, Share]:
    """By difficulty, and of the whole ``mix``; a failed request is a wrong answer."""
    groups = {
        difficulty: [one for one in answers if one.question.difficulty == difficulty] for difficulty in _order(answers)
    }
    groups[MIX] = list(answers)
    return {name: share(sum(one.is_right for one in own), len(own)) for name, own in groups.items()}


def latency(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Seconds as the client saw them, over requests that were answered; None where nothing was."""
    good = [one for one in answers if one.error is None]
    samples = {
        "ttft": [one.ttft_s for one in good if one.ttft_s is not None],
        "itl": [gap for one in good for gap in one.itl_s],
        "e2e": [one.e2e_s for one in good],
    }
    return {
        f"{name}_p{percent}_s": float(np.percentile(seconds, percent)) if seconds else None
        for name, seconds in samples.items()
        for percent in _PERCENTILES
    }


def energy(answers: Sequence[Answer], spent: Mapping[str, Spent]) -> dict[str, Any]:
    """Joules of all requests, failed ones included, per successful request, output token and right answer.

    Of the requests that the ledger has joules for; ``uncovered`` counts the others (the meter stood still, say).
    """
    priced = [one for one in answers if one.trace_id in spent and spent[one.trace_id].energy_j is not None]
    known = [spent[one.trace_id] for one in priced]
    joules = sum(one.energy_j or 0.0 for one in known) if known else None
    successful = [one for one in known if one.success]
    tokens = sum(one.output_tokens or 0 for one in successful)
    return {
        "joules": joules,
        "quality": max((one.energy_quality or "" for one in known), default=None),
        "uncovered": len(answers) - len(known),
        "output_tokens": tokens,
        "per_request_j": _ratio(joules, len(successful)),
        "per_token_j": _ratio(joules, tokens),
        "per_right_j": _ratio(joules, sum(one.is_right for one in priced)),
    }


def answered_by(answers: Sequence[Answer], spent: Mapping[str, Spent]) -> dict[str, Any]:
    """How many requests each tier answered, and how many of them another tier had tried first."""
    found = [spent[one.trace_id] for one in answers if one.trace_id in spent]
    tiers = sorted({one.tier for one in found if one.tier})
    return {
        "tiers": {tier: sum(one.tier == tier for one in found) for tier in tiers},
        "escalated": sum(one.escalated_from is not None for one in found),
    }


def disagreement(ours: Sequence[Answer], theirs: Sequence[Answer]) -> dict[str, Any]:
    """Questions that only one of two variants answered rightly, and McNemar's exact p of so uneven a split."""
    pairs = list(zip(ours, theirs, strict=True))
    only_ours = sum(one.is_right and not other.is_right for one, other in pairs)
    only_theirs = sum(other.is_right and not one.is_right for one, other in pairs)
    split = only_ours + only_theirs
    p_value = float(binomtest(only_ours, split).pvalue) if split else 1.0
    return {"only_right_here": only_ours, "only_right_there": only_theirs, "p_value": p_value}


def _order(answers: Sequence[Answer]) -> list[str]:
    return sorted({one.question.difficulty for one in answers})


def _ratio(numerator: float | None, denominator: float) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None
