"""Sends a request for ``auto`` to the tier that its wording calls for, then to the least loaded backend in it.

A cheap lexical score, made before generation: it sees words, not meaning, and of a conversation only the user's last
turn. A request for a concrete model goes to the least loaded backend of that model.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from serving.routing._types import AUTO_MODEL, Candidate, Choice, Snapshot, fewest_in_flight, healthy

MAX_CHARS = 4_000  # bounds the time a decision may take: 11 patterns over 4,000 characters take about 2 ms


@dataclass(frozen=True, slots=True)
class Signal:
    """One sign of hardness: matches of ``pattern`` beyond ``free`` add ``weight`` each, ``at_most`` in all."""

    pattern: str
    weight: float
    at_most: float
    free: int = 0

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is not a regular expression: {error}") from None

    def score(self, text: str) -> float:
        """What ``text`` scores on this sign alone."""
        matches = sum(1 for _ in re.finditer(self.pattern, text))
        return min(self.at_most, self.weight * max(0, matches - self.free))


def shipped_signals() -> dict[str, Signal]:
    """The signals of ``complexity.toml``."""
    return {name: Signal(**values) for name, values in _shipped()["signals"].items()}


def shipped_thresholds() -> tuple[float, ...]:
    """The thresholds of ``complexity.toml``."""
    return tuple(_shipped()["thresholds"])


@dataclass(frozen=True, slots=True)
class Policy:
    """``tiers`` from cheap to dear (default: in the order in which the backends name them); ``thresholds`` are the
    scores at which the next tier begins; ``signals`` by name."""

    tiers: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = field(default_factory=shipped_thresholds)
    signals: dict[str, Signal] = field(default_factory=shipped_signals)

    def __post_init__(self) -> None:
        if list(self.thresholds) != sorted(self.thresholds):
            raise ValueError(f"thresholds must rise, got {list(self.thresholds)}")

    def choose(self, snapshot: Snapshot) -> Choice:
        """A healthy candidate of the tier called for; of the nearest dearer one, then cheaper one, if there is none."""
        able = healthy(snapshot.candidates)
        if snapshot.request.model != AUTO_MODEL:
            return Choice(fewest_in_flight(able).name, "model named")
        tiers = self.tiers or tuple(dict.fromkeys(candidate.tier for candidate in snapshot.candidates))
        scores = self.scores(snapshot.request.last_user_text)
        wanted = min(sum(sum(scores.values()) >= bound for bound in self.thresholds), len(tiers) - 1)
        for tier in (*tiers[wanted:], *reversed(tiers[:wanted])):
            if inside := [candidate for candidate in able if candidate.tier == tier]:
                return Choice(fewest_in_flight(inside).name, _reason(scores, tiers[wanted], tier))
        return _outside_tiers(able, scores, tiers[wanted])

    def scores(self, text: str) -> dict[str, float]:
        """The signals that ``text`` shows, with what each adds."""
        seen = text[:MAX_CHARS]
        scored = {name: signal.score(seen) for name, signal in self.signals.items()}
        return {name: score for name, score in scored.items() if score > 0}


def _outside_tiers(able: Sequence[Candidate], scores: Mapping[str, float], wanted: str) -> Choice:
    chosen = fewest_in_flight(able)
    return Choice(chosen.name, _reason(scores, wanted, chosen.tier))


def _reason(scores: Mapping[str, float], wanted: str, tier: str) -> str:
    strongest = max(scores, key=lambda name: scores[name]) if scores else "plain"
    if wanted == tier:
        return f"{strongest} → {tier}"
    return f"{strongest} → {wanted}, none reachable → {tier}"


@cache
def _shipped() -> dict[str, Any]:
    text = resources.files("serving.routing").joinpath("complexity.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
