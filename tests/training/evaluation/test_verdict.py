"""What is right-sized: the cheapest variant that reaches the goal."""

from typing import Any

import pytest

from training.evaluation import scores, verdict
from training.evaluation.verdict import Deployment, Goal, Tolerance


def row(name: str, right: int, joules: float | None, weights: int = 10) -> dict[str, Any]:
    found = scores.share(right, 100)
    return {
        "name": name,
        "exact": {"mix": {"share": found.share, "low": found.low, "high": found.high}},
        "energy": {"per_request_j": joules},
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


def test_the_shipped_deployment_names_a_variant_that_exists() -> None:
    from training.evaluation import variant

    assert verdict.load().deployed in variant.names()
    assert 0 < verdict.load().goal.exact < 1
