"""Turns: every question is asked once, in parts alike, and a steady drift weighs on every variant alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import rounds


@given(st.lists(st.integers()), st.integers(1, 12))
def test_parts_hold_every_item_once_and_join_again(items: list[int], count: int) -> None:
    found = rounds.parts(items, count)
    assert rounds.joined(found) == items
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert all(found) or not items


@given(st.integers(1, 12), st.integers(1, 5))
def test_everybody_has_a_turn_and_the_mean_place_is_everybodys(variants: int, pairs: int) -> None:
    turns = [rounds.order(range(variants), at, 2 * pairs) for at in range(2 * pairs)]
    assert all(sorted(turn) == list(range(variants)) for turn in turns)
    for one in range(variants):
        assert sum(turn.index(one) for turn in turns) == pairs * (variants - 1)


def test_rounds_begin_with_different_variants() -> None:
    assert [rounds.order("abcd", at, 4) for at in range(4)] == [
        ["a", "b", "c", "d"],
        ["d", "c", "b", "a"],
        ["c", "d", "a", "b"],
        ["b", "a", "d", "c"],
    ]


def test_no_round_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        rounds.parts([1], 0)
