"""What is right-sized: the cheapest variant that reaches the goal."""

from collections.abc import Sequence
from typing import Any

import pytest

from training.evaluation import scores, verdict
from training.evaluation.verdict import Deployment, Goal, Tolerance


def row(
    name: str, right: int, joules: float | None, weights: int = 10, by_round: Sequence[float | None] | None = None
) -> dict[str, Any]:
    found = scores.share(right, 100)
    return {
        "name": name,
        "exact": {"mix": {"share": found.share, "low": found.low, "high": found.high}},
        "energy": {"per_request_j": joules},
        "per_request_j_by_round": [joules] * 3 if by_round is None else by_round,
        "latency": {"e2e_p50_s": 0.1},
        "weight_bytes": weights,
    }


def deployment(deployed: str = "large", exact: float = 0.9) -> Deployment:
    return Deployment(deployed, Goal(exact, "test"), Tolerance(0.01, "test"))


ROWS = [row("small", 80, 1.0), row("middle", 92, 2.0), row("large", 99, 5.0)]


def test_the_cheapest_that_reaches_the_goal_is_right_sized() -> None:
    found = verdict.judge(ROWS, deployment("middle"))
    assert (found["right_sized"], found["chosen"]) == (True, "middle")
    assert "interval reaches below the goal" in found["reason"]
    assert found["reason"].endswith("it is the one deployed")


def test_a_dearer_one_that_reaches_it_too_is_not() -> None:
    found = verdict.judge(ROWS, deployment("large"))
    assert (found["right_sized"], found["chosen"]) == (False, "middle")
    assert "large" in found["reason"]
    assert "reaches it too" in found["reason"]


def test_when_none_reaches_the_goal_nothing_is_right_sized_and_the_best_is_named() -> None:
    found = verdict.judge(ROWS, deployment("large", exact=0.999))
    assert (found["right_sized"], found["chosen"]) == (False, None)
    assert "no variant reaches the goal of 99.9%" in found["reason"]
    assert "large (99.0% exact" in found["reason"]


def test_without_joules_or_without_the_deployed_variant_it_cannot_be_told() -> None:
    assert verdict.judge([row("large", 99, None)], deployment())["right_sized"] is None
    assert verdict.judge(ROWS[:2], deployment("large"))["right_sized"] is None


@pytest.mark.parametrize(
    ("right", "joules", "worth_it"), [(98, 1.0, True), (97, 1.0, False), (99, 6.0, False), (99, None, None)]
)
def test_a_saving_is_worth_it_while_it_costs_no_more_answers_than_allowed(
    right: int, joules: float | None, worth_it: bool | None
) -> None:
    found = verdict.trade_off(row("int8", right, joules, 4), ROWS[2], {}, Tolerance(0.01, "test"))
    assert found["worth_it"] is worth_it
    assert found["bytes"] == pytest.approx(-0.6)


@pytest.mark.parametrize(
    ("by_round", "worth_it"),
    [([4.0, 4.9, 3.0], True), ([4.0, 5.1, 3.0], None), ([5.0, 6.0, 7.0], False), ([4.0, None, 3.0], True)],
)
def test_a_saving_that_the_rounds_do_not_agree_on_is_not_known(
    by_round: Sequence[float | None], worth_it: bool | None
) -> None:
    found = verdict.trade_off(row("int8", 99, 4.0, by_round=by_round), ROWS[2], {}, Tolerance(0.01, "test"))
    assert found["worth_it"] is worth_it
    assert len(found["joules_by_round"]) == len(by_round) - by_round.count(None)


def test_the_verdict_says_in_how_many_rounds_the_chosen_was_the_cheapest() -> None:
    rows = [row("middle", 92, 2.0, by_round=[1.5, 1.5, 3.0]), row("large", 99, 2.5, by_round=[2.5, 2.5, 2.5])]
    assert "it was in 2 of 3 rounds" in verdict.judge(rows, deployment())["reason"]
    assert "rounds" not in verdict.judge(rows[:1], deployment())["reason"]
    assert "rounds" not in verdict.judge([row("middle", 92, 2.0, by_round=[2.0]), ROWS[0]], deployment())["reason"]


def test_the_shipped_deployment_names_a_variant_that_exists() -> None:
    from training.evaluation import variant

    assert verdict.load().deployed in variant.names()
    assert 0 < verdict.load().goal.exact < 1
