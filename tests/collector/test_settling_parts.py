"""Settled in parts, spans give the requests that they give together."""

import pytest

from analytics.relations.settlement import settle
from collector.settling import parts
from tests.laws.test_settling import _table, spans_of


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_parts_are_whole_traces_and_give_the_rows_of_one_settlement(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(parts, "PART_SPANS", size)
    rows = [row for number in range(12) for row in spans_of(number, trace=number % 5, at_s=number)]
    together, apart = settle(_table(rows)), parts.settled(_table(rows[::2] + rows[1::2]))
    assert apart.requests.sort_by("request_id").equals(together.requests.sort_by("request_id"))
    by = [("request_id", "ascending"), ("attempt", "ascending")]
    assert apart.attempts.sort_by(by).equals(together.attempts.sort_by(by))


def test_nothing_is_nothing() -> None:
    assert parts.settled(_table([])).requests.num_rows == 0
