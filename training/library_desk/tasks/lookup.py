"""Look-ups in a short catalogue: by place, or by title.

What is asked for stands before what it is asked by ("4 Emma"): whoever finds the same word again reads what stood
before it. "See" stands first so that the title is the token that the catalogue has: without a space before it a word
is another token.

Finding the same word again is what these sizes learn last: they stay at a guess until enough of a batch asks for it.
Three titles at once ask for three finds on a few more tokens; with them a guess between three became four of five
right in 100 steps.
"""

import random

from training.library_desk.exercise import Scene, Turn
from training.library_desk.holdings import BUSY_TITLES, TITLES

_MAX_TURNS = 3


class Task:
    """Easy: by place in the list. Hard: the shelf of one title among three, or of all three."""

    def easy(self, rng: random.Random) -> Scene:
        """The first or last title or shelf of three."""
        titles, shelves = rng.sample(TITLES, 3), rng.sample(range(1, 10), 3)
        turns = [
            (f"Which {kind} is {place}?", f"The {place} {kind} is {listed[index]}")
            for kind, listed, place, index in (
                ("title", titles, "first", 0), ("shelf", shelves, "last", -1),
                ("title", titles, "last", -1), ("shelf", shelves, "first", 0),
            )
        ]  # fmt: skip
        return Scene(f"Catalogue: {_listing(shelves, titles)}.", _starting_with(rng.randrange(4), turns))

    def hard(self, rng: random.Random) -> Scene:
        """The shelf of one title, or of the three in any order; the other is the follow-up."""
        titles, shelves = rng.sample(BUSY_TITLES, 3), rng.sample(range(1, 10), 3)
        found = {title: f"{title} {shelf}" for title, shelf in zip(titles, shelves, strict=True)}
        asked = rng.sample(titles, 3)
        one = f"Which shelf has {asked[0]}?", f"See {found[asked[0]]}"
        every = f"Which shelves have {', '.join(asked)}?", f"See {', '.join(found[title] for title in asked)}"
        return Scene(f"Catalogue: {_listing(shelves, titles)}.", (one, every) if rng.random() < 0.5 else (every, one))


def _listing(shelves: list[int], titles: list[str]) -> str:
    return ", ".join(f"{shelf} {title}" for shelf, title in zip(shelves, titles, strict=True))


def _starting_with(asked: int, turns: list[Turn]) -> tuple[Turn, ...]:
    return (*turns[asked:], *turns[:asked])[:_MAX_TURNS]
