"""How many positions a step may compute so that decodes keep an inter-token latency.

Additive increase, multiplicative decrease (Chiu & Jain 1989), fed with each step's seconds: it adapts to model, machine
and load without knowing any of them.
"""

INCREASE = 32
"""Positions more after a step within the target."""
DECREASE = 0.8
"""Share kept after one beyond it."""
LEAST = 32
"""Fewer would pay a whole step's fixed cost for next to nothing."""


class Pace:
    """``itl_target_s``: None does not hold back."""

    def __init__(self, most: int, itl_target_s: float | None) -> None:
        self.tokens = most
        """Positions that the next step with decodes should compute at most."""
        self._most = most
        self._itl_target_s = itl_target_s

    def observe(self, num_tokens: int, seconds: float) -> None:
        """A step with decodes computed so many positions in so many seconds."""
        if self._itl_target_s is None:
            return
        if seconds > self._itl_target_s:
            self.tokens = max(min(LEAST, self._most), int(min(self.tokens, num_tokens) * DECREASE))
        elif num_tokens >= self.tokens // 2:  # a step that was far from full says nothing about a fuller one
            self.tokens = min(self._most, self.tokens + INCREASE)
