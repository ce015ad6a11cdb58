"""Look-ups in a short catalogue: by place, by title, or through the shelf to the room.

What is asked for stands before what it is asked by ("4 Emma"): then a causal model finds the value with
its key, and one head that looks for the same word answers. The other way round it takes two layers that
must form together, and two million tokens were not enough for that.
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
    turns = [(f"Which shelf has {title}?", str(shelf)) for title, shelf in zip(titles, shelves, strict=True)]
    return Scene(f"Catalogue: {_listing(shelves, titles)}.", _starting_with(rng.randrange(3), turns))


def _through_shelves(rng: random.Random) -> Scene:
    titles, rooms, shelves = rng.sample(BUSY_TITLES, 4), rng.sample(BUSY_ROOMS, 4), rng.sample(range(1, 10), 4)
    room_of = dict(zip(shelves, rooms, strict=True))
    order = rng.sample(shelves, 4)
    plan = _listing([room_of[shelf] for shelf in order], order)
    turns = [_two_hops(title, shelf, room_of) for title, shelf in zip(titles, shelves, strict=True)]
    facts = f"Catalogue: {_listing(shelves, titles)}. Rooms: {plan}."
    return Scene(facts, _starting_with(rng.randrange(4), turns))


def _two_hops(title: str, shelf: int, room_of: dict[int, str]) -> Turn:
    return f"Which room has {title}?", f"{shelf} {room_of[shelf]}"


def _listing(values: Sequence[object], keys: Sequence[object]) -> str:
    return ", ".join(f"{value} {key}" for value, key in zip(values, keys, strict=True))


def _starting_with(asked: int, turns: list[Turn]) -> tuple[Turn, ...]:
    return (*turns[asked:], *turns[:asked])[:_MAX_TURNS]
