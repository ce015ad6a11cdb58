"""Odds of tokens, features of answers, and the rising line from one to a chance."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions import confidence
from conventions.confidence import FEATURES, Calibration, TokenOdds
from conventions.errors import SettingsError

KNOTS = Calibration("product", (0.2, 0.5, 0.9), (0.1, 0.4, 0.8), "scout", "0" * 16, 10, 5, "test")
tokens = st.lists(st.floats(1e-6, 1.0).map(lambda p: TokenOdds(p, 2 * p - 1)), min_size=1, max_size=20)


def test_the_lead_is_over_the_likeliest_other_token() -> None:
    ahead = confidence.odds(math.log(0.7), [math.log(0.7), math.log(0.2)])
    behind = confidence.odds(math.log(0.2), [math.log(0.7), math.log(0.2)])
    alone = confidence.odds(math.log(0.7), [])
    assert [round(one.margin, 9) for one in (ahead, behind, alone)] == [0.5, -0.5, 0.7]


@given(answer=tokens, index=st.integers(0, 19), other=st.floats(1e-6, 1.0))
def test_no_feature_falls_when_a_token_gets_surer(answer: list[TokenOdds], index: int, other: float) -> None:
    at = index % len(answer)
    low, high = sorted([answer[at].probability, other])
    less, more = ([*answer[:at], TokenOdds(p, 2 * p - 1), *answer[at + 1 :]] for p in (low, high))
    for feature in FEATURES.values():
        assert feature(less) <= feature(more) + 1e-12


@given(low=st.floats(-1, 2), high=st.floats(-1, 2))
def test_a_surer_answer_has_no_smaller_chance_and_a_chance_is_one(low: float, high: float) -> None:
    low, high = sorted([low, high])
    assert 0.0 <= KNOTS.at(low) <= KNOTS.at(high) <= 1.0


def test_between_knots_the_line_is_straight_and_beyond_them_flat() -> None:
    found = [KNOTS.at(raw) for raw in (0.0, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)]
    assert found == pytest.approx([0.1, 0.1, 0.25, 0.4, 0.6, 0.8, 0.8])
    assert KNOTS.of([TokenOdds(0.7, 0.5), TokenOdds(0.5, 0.1)]) == pytest.approx(KNOTS.at(0.35))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"feature": "mood"}, "choose from product"),
        ({"raw": []}, "0 knots and 3 chances"),
        ({"raw": [0.2, 0.2, 0.9]}, "knots must rise"),
        ({"chance": [0.1, 0.4, 1.2]}, "between 0 and 1"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps(asdict(KNOTS)))
    assert confidence.read(path) == KNOTS
    path.write_text(json.dumps({**asdict(KNOTS), **change}))
    with pytest.raises(SettingsError, match=said):
        confidence.read(path)


def test_a_missing_or_broken_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tokenjoule calibrate"):
        confidence.read(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"feature":')
    with pytest.raises(SettingsError, match="tokenjoule calibrate"):
        confidence.read(tmp_path / "half.json")
