"""Short arithmetic of the desk: fines and copies."""

import random

from training.library_desk.exercise import Scene, single
from training.library_desk.holdings import MEMBERS, ROOMS, TITLES


class Task:
    """Easy: one small product or difference. Hard: two steps, or a sum of two-digit numbers."""

    def easy(self, rng: random.Random) -> Scene:
        """A fine (days × rate) or the copies left."""
        member, title = rng.choice(MEMBERS), rng.choice(TITLES)
        if rng.random() < 0.5:
            days, rate = rng.randint(2, 9), rng.randint(2, 9)
            question = f"{member} returns {title} {days} days late at {rate} cents a day. What is the fine?"
            return single(question, _fine(days * rate))
        copies = rng.randint(3, 9)
        lent = rng.randint(1, copies - 1)
        return single(
            f"There are {copies} copies of {title}. {member} borrows {lent}. How many are left?",
            f"There are {copies - lent} copies left",
        )

    def hard(self, rng: random.Random) -> Scene:
        """The fine for two books, or the books of two rooms together."""
        if rng.random() < 0.5:
            return _fine_for_two(rng)
        first, second = rng.sample(ROOMS, 2)
        books, more = rng.randint(11, 59), rng.randint(11, 59)
        return single(
            f"The {first} has {books} books and the {second} has {more}. How many together?",
            f"The rooms have {books + more} books together",
        )


def _fine_for_two(rng: random.Random) -> Scene:
    """The answer says its way: the days together, then the fine."""
    member, (one, two) = rng.choice(MEMBERS), rng.sample(TITLES, 2)
    days, more, rate = rng.randint(2, 5), rng.randint(2, 5), rng.randint(2, 9)
    late = f"{one} {days} days late and {two} {more} days late"
    way = f"{days} and {more} days are {days + more}"
    return single(
        f"{member} returns {late} at {rate} cents a day. What is the fine?", f"{way}. {_fine((days + more) * rate)}"
    )


def _fine(cents: int) -> str:
    return f"The fine is {cents} cents"
