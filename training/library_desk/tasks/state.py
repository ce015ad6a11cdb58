"""State queries: which rooms are open, as stated or by their hours."""

import random

from training.library_desk.exercise import Scene, Turn
from training.library_desk.holdings import BUSY_ROOMS, ROOMS, WEEKDAYS

_FIRST_HOUR, _LAST_HOUR = 1, 9


class Task:
    """Easy: one stated state. Hard: one of three stated, or all rooms whose hours contain the time."""

    def easy(self, rng: random.Random) -> Scene:
        """A yes/no question about the room just named."""
        room, state = rng.choice(ROOMS), rng.choice(("open", "closed"))
        facts = f"Now on {rng.choice(WEEKDAYS)} {rng.randint(1, 9)} the {room} is {state}."
        return Scene(facts, (_is_open(room, state),))

    def hard(self, rng: random.Random) -> Scene:
        """What is stated of one of three rooms and yes or no, or a list of rooms by their hours."""
        return _stated(rng) if rng.random() < 0.5 else _by_hours(rng)


def _is_open(room: str, state: str) -> Turn:
    return f"Is the {room} open?", "yes" if state == "open" else "no"


def _stated(rng: random.Random) -> Scene:
    """One room with what is stated of it, then all three in any order."""
    states = {room: rng.choice(("open", "closed")) for room in rng.sample(BUSY_ROOMS, 3)}
    facts = ", ".join(f"{state} {room}" for room, state in states.items())
    rooms = rng.sample(list(states), 3)
    asked = rng.choice(rooms)
    question, answer = _is_open(asked, states[asked])
    every = ", ".join(f"{room} {states[room]}" for room in rooms)
    first = question, f"See {asked} {states[asked]}, {answer}"
    return Scene(f"Now {facts}.", (first, (f"Are the {', '.join(rooms)} open?", f"See {every}")))


def _by_hours(rng: random.Random) -> Scene:
    """All open rooms of three in the order given, or ``none``; the time is never an opening or closing hour."""
    now = rng.randint(_FIRST_HOUR + 1, _LAST_HOUR - 1)
    hours = {room: _hours(rng, now) for room in rng.sample(ROOMS, 3)}
    facts = ", ".join(f"{room} {opens} to {closes}" for room, (opens, closes) in hours.items())
    return Scene(f"Hours: {facts}.", tuple(_at(time, hours) for time in (now, *_other_times(now, hours))))


def _at(time: int, hours: dict[str, tuple[int, int]]) -> Turn:
    opened = [room for room, (opens, closes) in hours.items() if opens < time < closes]
    return f"It is {time}. Which rooms are open?", ", ".join(opened) or "none"


def _hours(rng: random.Random, now: int) -> tuple[int, int]:
    possible = [hour for hour in range(_FIRST_HOUR, _LAST_HOUR + 1) if hour != now]
    opens, closes = sorted(rng.sample(possible, 2))
    return opens, closes


def _other_times(now: int, hours: dict[str, tuple[int, int]]) -> list[int]:
    """At most two more times that are no opening or closing hour."""
    taken = {now}.union(*hours.values())
    return [hour for hour in range(_FIRST_HOUR + 1, _LAST_HOUR) if hour not in taken][:2]
