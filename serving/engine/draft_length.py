"""How many tokens to draft: measured, not believed. Pure: seconds come in with each observation.

For each size of batch the candidate lengths are arms of a bandit whose reward is output tokens per second of the steps
that used them, drafting included. So speculation ends by itself where it does not pay: at high load, where positions
are no longer nearly free, or where drafts are bad. Every ``EXPLORE_EVERY``-th step tries another length.
"""

from dataclasses import dataclass, field

TRIES = 3
"""Steps of each length before they are compared."""
EXPLORE_EVERY = 40
MEMORY = 0.96
"""Weight of a step against the one after it: half of an estimate is of the last 17 steps."""
WORTH = 1.03
"""A length must be this much better than none: timings are noisy, and no draft costs no joules for nothing."""


@dataclass(slots=True)
class _Arm:
    tokens: float = 0.0
    seconds: float = 0.0
    steps: int = 0

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        self.tokens = self.tokens * MEMORY + tokens
        self.seconds = self.seconds * MEMORY + seconds
        self.steps += 1


@dataclass(slots=True)
class _Arms:
    """The lengths at one size of batch."""

    lengths: tuple[int, ...]
    arms: dict[int, _Arm] = field(init=False)
    asked: int = 0

    def __post_init__(self) -> None:
        self.arms = {length: _Arm() for length in self.lengths}

    def choose(self) -> int:
        self.asked += 1
        for length, arm in self.arms.items():
            if arm.steps < TRIES:
                return length
        if self.asked % EXPLORE_EVERY == 0:
            return min(self.lengths, key=lambda length: self.arms[length].steps)
        return self.best

    @property
    def best(self) -> int:
        length = max(self.lengths, key=lambda one: self.arms[one].rate)
        return length if self.arms[length].rate > WORTH * self.arms[0].rate else 0

    @property
    def gain(self) -> float:
        without = self.arms[0].rate
        return self.arms[self.best].rate / without if without else 1.0


class DraftLength:
    """Chooses a length from 0 to ``longest`` for a batch of a given size. ``adapts=False``: always the longest."""

    def __init__(self, longest: int, *, adapts: bool = True) -> None:
        self.chosen = 0
        self.gain = 1.0
        """Tokens per second at the best length over those without drafts, at the last observed size of batch."""
        doubled = {1 << power for power in range(longest.bit_length())}
        self._lengths = (0, *sorted({*(one for one in doubled if one <= longest), longest} - {0}))
        self._adapts = adapts
        self._by_size: dict[int, _Arms] = {}

    def choose(self, batch_size: int) -> int:
        """The length for the next step."""
        self.chosen = self._of(batch_size).choose() if self._adapts else self._lengths[-1]
        return self.chosen

    def observe(self, batch_size: int, length: int, tokens: int, seconds: float) -> None:
        """A step without prefill of ``batch_size`` requests, drafted for with ``length``, gave ``tokens``."""
        arms = self._of(batch_size)
        arms.arms[length].observe(tokens, seconds)
        self.gain = arms.gain

    def _of(self, batch_size: int) -> _Arms:
        """Sizes are told apart by powers of two."""
        return self._by_size.setdefault(batch_size.bit_length(), _Arms(self._lengths))
