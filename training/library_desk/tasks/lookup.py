"""Look-ups in a short catalogue: by place, by title, or through the shelf to the room.

A hard answer says the way to it: the title, its shelf, then the room on that shelf, so that each word is one step from
the last; the bare answer was not learnt in twelve million tokens. What is asked for stands before what it is asked by
("4 Emma"): whoever finds the same word again reads what stood before it. "See" stands first so that the title is the
token that the catalogue has: without a space before it a word is another token.

Finding the same word again is what these sizes learn last: they stay at a guess until enough of a batch asks for it.
So a follow-up asks for three titles at once; with it a guess between three became four of five right in 100 steps.
"""

import random
from collections.abc import Sequence

from training.library_desk.exercise import Scene, Turn
from training.library_desk.holdings import BUSY_ROOMS, BUSY_TITLES, TITLES

_MAX_TURNS = 3


class Task:
    """Easy: by place in the list. Hard: the shelf of a title among three, or title → shelf → room among four."""

    def easy(self, rng: random.Random) -> Scene:
        """The first or last title or shelf of three."""
        titles, shelves = rng.sample(TITLES, 3), rng.sample(range(1, 10), 3)
        turns = [(f"Which {kind} is {place}?", str(listed[index])) for kind, listed, place, index in (
            ("title", titles, "first", 0), ("shelf", shelves, "last", -1),
            ("title", titles, "last", -1), ("shelf", shelves, "first", 0),
        )]  # fmt: skip
        return Scene(f"Catalogue: {_listing(shelves, titles)}.", _starting_with(rng.randrange(4), turns))

    def hard(self, rng: random.Random) -> Scene:
        """One hop by title, or two."""
        return _one_hop(rng) if rng.random() < 0.5 else _through_shelves(rng)


def _one_hop(rng: random.Random) -> Scene:
    titles, shelves = rng.sample(BUSY_TITLES, 3), rng.sample(range(1, 10), 3)
    found = {title: f"{title} {shelf}" for title, shelf in zip(titles, shelves, strict=True)}
    return Scene(f"Catalogue: {_listing(shelves, titles)}.", _one_and_all(rng, found, "shelf", "shelves"))


def _through_shelves(rng: random.Random) -> Scene:
    titles, rooms, shelves = rng.sample(BUSY_TITLES, 4), rng.sample(BUSY_ROOMS, 4), rng.sample(range(1, 10), 4)
    room_of = dict(zip(shelves, rooms, strict=True))
    order = rng.sample(shelves, 4)
    plan = _listing([room_of[shelf] for shelf in order], order)
    found = {title: f"{title} {shelf} {room_of[shelf]}" for title, shelf in zip(titles, shelves, strict=True)}
    facts = f"Catalogue: {_listing(shelves, titles)}. Rooms: {plan}."
    return Scene(facts, _one_and_all(rng, found, "room", "rooms"))


def _one_and_all(rng: random.Random, found: dict[str, str], one: str, several: str) -> tuple[Turn, ...]:
    """A title first, then three of them in any order: three more finds on a few more tokens."""
    titles = rng.sample(list(found), 3)
    asked = rng.choice(titles)
    question, answer = f"Which {several} have {', '.join(titles)}?", ", ".join(found[title] for title in titles)
    return (f"Which {one} has {asked}?", f"See {found[asked]}"), (question, f"See {answer}")


def _listing(values: Sequence[object], keys: Sequence[object]) -> str:
    return ", ".join(f"{value} {key}" for value, key in zip(values, keys, strict=True))


def _starting_with(asked: int, turns: list[Turn]) -> tuple[Turn, ...]:
    return (*turns[asked:], *turns[:asked])[:_MAX_TURNS]
