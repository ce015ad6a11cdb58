"""Notes: read a short list of titles and numbers back, in order or from its end.

The answer is long beside the question, so this family teaches copying from the prompt, which look-ups and
state queries are built on, faster than their own short answers do.
"""

import random

from training.library_desk.exercise import Scene, single
from training.library_desk.holdings import TITLES


class Task:
    """Easy: four entries as they stand. Hard: five entries, the last one first."""

    def easy(self, rng: random.Random) -> Scene:
        """Read four entries back."""
        entries = _entries(rng, 4)
        return single(f"Note: {', '.join(entries)}. Read it back.", ", ".join(entries))

    def hard(self, rng: random.Random) -> Scene:
        """Read five entries back from the end."""
        entries = _entries(rng, 5)
        return single(f"Note: {', '.join(entries)}. Read it from the end.", ", ".join(reversed(entries)))


def _entries(rng: random.Random, count: int) -> list[str]:
    titles, numbers = rng.sample(TITLES, count), rng.sample(range(1, 10), count)
    return [f"{title} {number}" for title, number in zip(titles, numbers, strict=True)]
