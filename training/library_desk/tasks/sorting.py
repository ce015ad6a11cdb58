"""Sorting short lists: digits and titles."""

import random

from training.library_desk.exercise import Scene, single
from training.library_desk.holdings import TITLES


class Task:
    """Easy: four digits upwards. Hard: six digits either way, or five titles from A to Z."""

    def easy(self, rng: random.Random) -> Scene:
        """Four different digits, low to high."""
        digits = rng.sample(range(1, 10), 4)
        return single(f"Sort from low to high: {_spaced(digits)}", _spaced(sorted(digits)))

    def hard(self, rng: random.Random) -> Scene:
        """Six different digits in the stated direction, or five titles."""
        if rng.random() < 0.5:
            titles = rng.sample(TITLES, 5)
            return single(f"Sort from A to Z: {_spaced(titles)}", _spaced(sorted(titles)))
        digits, down = rng.sample(range(1, 10), 6), rng.random() < 0.5
        direction = "high to low" if down else "low to high"
        return single(f"Sort from {direction}: {_spaced(digits)}", _spaced(sorted(digits, reverse=down)))


def _spaced(items: list[int] | list[str]) -> str:
    return " ".join(map(str, items))
