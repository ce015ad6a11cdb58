"""Call numbers as strings of letters: pick a letter, turn them round, leave one out."""

import random

from training.library_desk.exercise import Scene, single

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class Task:
    """Easy: first or last of four letters. Hard: six different letters backwards, or without one of them."""

    def easy(self, rng: random.Random) -> Scene:
        """The first or the last letter."""
        code = "".join(rng.choices(_LETTERS, k=4))
        turns = [
            (f"What is its {place} letter?", f"The {place} letter is {letter}")
            for place, letter in (("first", code[0]), ("last", code[-1]))
        ]
        if rng.random() >= 0.5:
            turns.reverse()
        return Scene(f"Call number {code}.", tuple(turns))

    def hard(self, rng: random.Random) -> Scene:
        """The code backwards, or without one of its letters."""
        code = "".join(rng.sample(_LETTERS, 6))
        if rng.random() < 0.5:
            return single(f"Call number {code}. Write it backwards.", code[::-1])
        struck = rng.choice(code)
        return single(f"Call number {code}. Write it without {struck}.", code.replace(struck, ""))
