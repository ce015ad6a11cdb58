"""Shares with their intervals, latencies and joules: what a variant's answers add up to."""

import pytest

from training.evaluation import scores
from training.evaluation.asking import Answer
from training.evaluation.questions import Question


def answer(text: str, difficulty: str = "easy", **known: object) -> Answer:
    made = Answer(Question(({"role": "user", "content": "?"},), "yes", difficulty, 4), f"trace-{id(text)}", text)
    for name, value in known.items():
        setattr(made, name, value)
    return made


def spent(joules: float | None, tokens: int = 2, *, success: bool = True) -> scores.Spent:
    return scores.Spent(joules, "estimated" if joules is not None else None, success, tokens, "scout", None)


def test_the_interval_is_wilsons() -> None:
    """Wilson's interval of 8 of 10 as Newcombe (1998) computes it: 0.4902 to 0.9433."""
    found = scores.share(8, 10)
    assert (found.share, found.low, found.high) == (
        0.8,
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert scores.share(10, 10).low < 1.0 == scores.share(10, 10).high


def test_quality_is_told_by_difficulty_and_a_failed_request_is_wrong() -> None:
    answers = [answer("yes"), answer(" yes\n"), answer("no", "hard"), answer("yes", "hard", error="timeout")]
    found = scores.quality(answers)
    assert {name: (one.right, one.asked) for name, one in found.items()} == {
        "easy": (2, 2), "hard": (0, 2), "mix": (2, 4),
    }  # fmt: skip


def test_latency_is_of_answered_requests_only() -> None:
    slow = answer("", error="timeout", e2e_s=100.0)
    quick = answer("yes", content_s=[0.1, 0.3, 0.4], e2e_s=0.5)
    found = scores.latency([quick, slow])
    assert found["ttft_p50_s"] == pytest.approx(0.1)
    assert found["itl_p50_s"] == pytest.approx(0.15)
    assert found["e2e_p95_s"] == pytest.approx(0.5)
    assert scores.latency([slow])["e2e_p50_s"] is None


def test_the_joules_of_failed_requests_are_paid_by_the_successful_ones() -> None:
    answers = [answer("yes", trace_id="a"), answer("no", trace_id="b"), answer("", trace_id="c", error="timeout")]
    known = {"a": spent(1.0), "b": spent(2.0), "c": spent(3.0, 1, success=False)}
    found = scores.energy(answers, known)
    assert found["per_request_j"] == pytest.approx(6.0 / 2)
    assert found["per_token_j"] == pytest.approx(6.0 / 4)
    assert found["per_right_j"] == pytest.approx(6.0)
    assert found["quality"] == "estimated"


def test_joules_that_the_ledger_does_not_have_are_counted_and_not_taken_for_zero() -> None:
    answers = [answer("yes", trace_id="a"), answer("yes", trace_id="b"), answer("yes", trace_id="c")]
    found = scores.energy(answers, {"a": spent(None), "b": spent(1.0)})
    assert (found["uncovered"], found["per_request_j"], found["per_right_j"]) == (2, 1.0, 1.0)
    none = scores.energy(answers, {})
    assert (none["joules"], none["per_request_j"], none["quality"]) == (None, None, None)


def test_disagreement_is_mcnemars_exact_test() -> None:
    """Five to none in one direction has a two-sided binomial p of 1/16."""
    ours, theirs = [answer("yes") for _ in range(9)], [answer("no") if i < 5 else answer("yes") for i in range(9)]
    found = scores.disagreement(ours, theirs)
    assert found == {"only_right_here": 5, "only_right_there": 0, "p_value": pytest.approx(2 / 2**5)}
    assert scores.disagreement(ours, ours)["p_value"] == 1.0
