"""Call numbers as strings of letters: pick a letter, turn them round, leave one out."""

import random

from training.library_desk.exercise import Scene, single

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class Task:
    """Easy: first or last of four letters. Hard: reverse six letters, or strike one letter out of six."""

    def easy(self, rng: random.Random) -> Scene:
        """The first or the last letter."""
        code = "".join(rng.choices(_LETTERS, k=4))
        turns = [("What is its first letter?", code[0]), ("What is its last letter?", code[-1])]
        if rng.random() >= 0.5:
            turns.reverse()
        return Scene(f"Call number {code}.", tuple(turns))

    def hard(self, rng: random.Random) -> Scene:
        """The code backwards, or without one of its letters."""
        if rng.random() < 0.5:
            code = "".join(rng.choices(_LETTERS, k=6))
            return single(f"Call number {code}. Write it backwards.", code[::-1])
        few = rng.sample(_LETTERS, 3)
        letters = [*few, *rng.choices(few, k=3)]
        rng.shuffle(letters)
        code = "".join(letters)
        struck = rng.choice(few)
        return single(f"Call number {code}. Write it without {struck}.", code.replace(struck, ""))
