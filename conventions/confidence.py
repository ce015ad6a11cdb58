"""How sure a model was of an answer, and the file that says how often it is right when it is that sure.

A *feature* makes one number of the tokens' probabilities; it is no chance of being right. A *calibration* maps it to
one: ``training.evaluation`` fits it on questions with known answers, the gateway applies it. Both agree here on what
is computed and on the file.
"""

import bisect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conventions import settings
from conventions.errors import SettingsError

FILE: Final = "confidence.json"
"""Its name beside the weights that it belongs to."""


@dataclass(frozen=True, slots=True)
class TokenOdds:
    """Of one token of an answer: its probability, and its lead over the likeliest other token (negative: behind it)."""

    probability: float
    margin: float


def odds(logprob: float, top: Sequence[float]) -> TokenOdds:
    """From natural log-probabilities as the OpenAI API gives them: the token's own, and the likeliest, best first."""
    probability = math.exp(logprob)
    others = top[1:] if top and top[0] == logprob else top
    return TokenOdds(probability, probability - (math.exp(others[0]) if others else 0.0))


_LEAST: Final = 1e-300


def _product(tokens: Sequence[TokenOdds]) -> float:
    return math.prod(token.probability for token in tokens)


def _geometric_mean(tokens: Sequence[TokenOdds]) -> float:
    return math.exp(sum(math.log(max(token.probability, _LEAST)) for token in tokens) / len(tokens))


def _least_margin(tokens: Sequence[TokenOdds]) -> float:
    return min(token.margin for token in tokens)


def _mean_margin(tokens: Sequence[TokenOdds]) -> float:
    return sum(token.margin for token in tokens) / len(tokens)


FEATURES: Final[Mapping[str, Callable[[Sequence[TokenOdds]], float]]] = {
    "product": _product,  # the probability that the model itself gives the whole answer
    "geometric_mean": _geometric_mean,  # the same without its bias against long answers
    "least_margin": _least_margin,  # the weakest link
    "mean_margin": _mean_margin,
}
"""Higher is surer. Of at least one token."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Knots of a rising line from feature to chance, flat beyond them, and what they were fitted on.

    Raises ``ValueError`` for knots that are none.
    """

    feature: str
    raw: tuple[float, ...]
    chance: tuple[float, ...]
    model: str
    weights: str
    """First 16 hex digits of the SHA-256 of the weights that it belongs to."""
    questions: int
    right: int
    split: str

    def __post_init__(self) -> None:
        if self.feature not in FEATURES:
            raise ValueError(f"unknown feature {self.feature!r}: choose from {', '.join(FEATURES)}")
        if not self.raw or len(self.raw) != len(self.chance):
            raise ValueError(
                f"{len(self.raw)} knots and {len(self.chance)} chances: there must be as many, and one at least"
            )
        if list(self.raw) != sorted(set(self.raw)) or list(self.chance) != sorted(self.chance):
            raise ValueError("knots must rise, and chances must not fall")
        if not 0.0 <= self.chance[0] <= self.chance[-1] <= 1.0:
            raise ValueError("chances lie between 0 and 1")

    def of(self, tokens: Sequence[TokenOdds]) -> float:
        """The chance that an answer of these tokens (one at least) is right."""
        return self.at(FEATURES[self.feature](tokens))

    def at(self, raw: float) -> float:
        """The chance at a value of the feature."""
        above = bisect.bisect_left(self.raw, raw)
        if above == 0:
            return self.chance[0]
        if above == len(self.raw):
            return self.chance[-1]
        low, high = self.raw[above - 1], self.raw[above]
        part = (raw - low) / (high - low)
        return self.chance[above - 1] + part * (self.chance[above] - self.chance[above - 1])


def read(path: Path) -> Calibration:
    """The calibration in a JSON file. Raises ``SettingsError`` that names the file and the remedy."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such calibration; `tokenjoule calibrate` makes one") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}; `tokenjoule calibrate` makes one anew") from None
    return settings.build(Calibration, values, str(path))
