"""State queries: which rooms are open, as stated or by their hours."""

import random
from collections.abc import Mapping

from training.library_desk.exercise import Scene, Turn
from training.library_desk.holdings import ROOMS, WEEKDAYS

_FIRST_HOUR, _LAST_HOUR = 1, 9


class Task:
    """Easy: one stated state. Hard: what three rooms are at a time, from their hours."""

    def easy(self, rng: random.Random) -> Scene:
        """A yes/no question about the room just named."""
        room, state = rng.choice(ROOMS), rng.choice(("open", "closed"))
        facts = f"Now on {rng.choice(WEEKDAYS)} {rng.randint(1, 9)} the {room} is {state}."
        verdict = "yes" if state == "open" else "no"
        return Scene(facts, ((f"Is the {room} open?", f"{verdict}, the {room} is {state}"),))

    def hard(self, rng: random.Random) -> Scene:
        """Every room in the order given, open or closed; the time is never an opening or closing hour."""
        now = rng.randint(_FIRST_HOUR + 1, _LAST_HOUR - 1)
        hours = {room: _hours(rng, now) for room in rng.sample(ROOMS, 3)}
        facts = ", ".join(f"{room} {opens} to {closes}" for room, (opens, closes) in hours.items())
        return Scene(f"Hours: {facts}.", tuple(_at(time, hours) for time in (now, *_other_times(now, hours))))


def _at(time: int, hours: Mapping[str, tuple[int, int]]) -> Turn:
    told = (f"{room} {'open' if opens < time < closes else 'closed'}" for room, (opens, closes) in hours.items())
    return f"It is {time}. Which rooms are open?", ", ".join(told)


def _hours(rng: random.Random, now: int) -> tuple[int, int]:
    possible = [hour for hour in range(_FIRST_HOUR, _LAST_HOUR + 1) if hour != now]
    opens, closes = sorted(rng.sample(possible, 2))
    return opens, closes


def _other_times(now: int, hours: Mapping[str, tuple[int, int]]) -> list[int]:
    """At most two more times that are no opening or closing hour."""
    taken = {now}.union(*hours.values())
    return [hour for hour in range(_FIRST_HOUR + 1, _LAST_HOUR) if hour not in taken][:2]
