"""How many output tokens a request will still say, learned from those that were answered. Online, no model.

Answers are counted in doubling buckets of their length, per kind of request (doubling buckets of prompt length and of
``max_tokens``, and all together for kinds not yet seen). The forecast is live: the mean of the answers longer than what
the request has said already. It knows nothing of the text; of two requests of one kind it says the same.
"""

from dataclasses import dataclass, field

KNOWN_AFTER = 8
"""Answers of one kind before it is believed more than all together."""
MEMORY = 0.998
"""Weight of an answer against the next one of its kind: half of what is known is of the last 350."""


@dataclass(slots=True)
class _Lengths:
    """Decayed numbers of answers and of their tokens by doubling length."""

    answers: list[float] = field(default_factory=lambda: [0.0] * 32)
    tokens: list[float] = field(default_factory=lambda: [0.0] * 32)
    count: int = 0

    def learn(self, length: int) -> None:
        for index in range(32):
            self.answers[index] *= MEMORY
            self.tokens[index] *= MEMORY
        self.answers[length.bit_length()] += 1
        self.tokens[length.bit_length()] += length
        self.count += 1

    def left(self, said: int) -> float | None:
        """Mean length of the answers longer than ``said``, less ``said``; None when there were none."""
        first = said.bit_length() if said else 0
        answers, tokens = sum(self.answers[first:]), sum(self.tokens[first:])
        return max(1.0, tokens / answers - said) if answers > 1e-3 else None


class Forecast:
    """Expected output lengths."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[int, int], _Lengths] = {}
        self._all = _Lengths()

    def learn(self, num_prompt: int, max_tokens: int, length: int) -> None:
        """An answer of ``length`` tokens is complete."""
        self._all.learn(length)
        self._kinds.setdefault(_kind(num_prompt, max_tokens), _Lengths()).learn(length)

    def left(self, num_prompt: int, max_tokens: int, said: int) -> float:
        """Output tokens still to come, at most what is allowed; all that is allowed while nothing is known."""
        kind = self._kinds.get(_kind(num_prompt, max_tokens))
        known = kind if kind is not None and kind.count >= KNOWN_AFTER else self._all
        left = known.left(said)
        return float(max_tokens - said) if left is None else min(left, float(max_tokens - said))


def _kind(num_prompt: int, max_tokens: int) -> tuple[int, int]:
    return num_prompt.bit_length(), max_tokens.bit_length()
