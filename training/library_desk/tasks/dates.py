"""Due dates: by weekday within one week, or by calendar date across months (28 days in February)."""

import random

from training.library_desk.exercise import Scene, single
from training.library_desk.holdings import MEMBERS, MONTH_LENGTHS, TITLES, WEEKDAYS

_LOAN_DAYS = (7, 14, 21)


class Task:
    """Easy: weekday plus two to six days. Hard: date plus one, two or three weeks."""

    def easy(self, rng: random.Random) -> Scene:
        """The weekday a loan is due."""
        title, start, days = rng.choice(TITLES), rng.randrange(7), rng.randint(2, 6)
        due = WEEKDAYS[(start + days) % 7]
        question = f"{_loan(rng, title)} on {WEEKDAYS[start]} for {days} days. Which day is it due?"
        return single(question, f"{title} is due on {due}")

    def hard(self, rng: random.Random) -> Scene:
        """The date a loan is due, as day and month."""
        months = list(MONTH_LENGTHS)
        title, index, days = rng.choice(TITLES), rng.randrange(12), rng.choice(_LOAN_DAYS)
        length = MONTH_LENGTHS[months[index]]
        start = rng.randint(1, length)
        due = start + days
        date = f"{due} {months[index]}" if due <= length else f"{due - length} {months[(index + 1) % 12]}"
        question = f"{_loan(rng, title)} on {start} {months[index]} for {days} days. Which date is it due?"
        return single(question, f"{title} is due on {date}")


def _loan(rng: random.Random, title: str) -> str:
    return f"{rng.choice(MEMBERS)} borrows {title}"
