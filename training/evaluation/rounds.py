"""Variants take turns: each round asks a part of the questions, so that a change in the machine's other load meets all.

Rounds go in pairs, there and back: a load that rises or falls steadily weighs on every variant alike.
"""

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def parts(items: Sequence[Item], rounds: int) -> list[list[Item]]:
    """Every ``rounds``-th item, from each start: parts of the same mix, at most one item apart in length.

    No part is empty: fewer items than rounds make fewer parts. Raises ``ValueError`` for no round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds: at least one is needed")
    count = max(1, min(rounds, len(items)))
    return [list(items[start::count]) for start in range(count)]


def joined(found: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of ``parts`` in their first order."""
    total = sum(len(part) for part in found)
    return [found[place % len(found)][place // len(found)] for place in range(total)]


def order(variants: Sequence[Item], at: int, rounds: int) -> list[Item]:
    """Who comes when in round ``at`` of ``rounds``: each pair of rounds begins with another, the second goes back."""
    pairs = (rounds + 1) // 2
    first = (at // 2) * len(variants) // pairs
    turned = [*variants[first:], *variants[:first]]
    return turned[::-1] if at % 2 else turned
