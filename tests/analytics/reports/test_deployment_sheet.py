"""The sheet and the page of a calibration say what their documents say, and what they do not know."""

import sys
from pathlib import Path
from typing import Any

import pytest

from analytics.reports import deployment, reliability
from conventions.errors import SettingsError


def document(joules: float | None = 0.05) -> dict[str, Any]:
    shares = {name: {"right": 9, "asked": 10, "share": 0.9, "low": 0.6, "high": 0.98} for name in ("easy", "mix")}
    row = {
        "name": "scout",
        "failed": 1,
        "exact": shares,
        "latency": dict.fromkeys((f"{n}_{p}_s" for n in ("ttft", "itl", "e2e") for p in ("p50", "p95")), 0.0123),
        "energy": {
            "per_request_j": joules, "per_token_j": joules, "per_right_j": joules, "uncovered": 2,
            "quality": None if joules is None else "estimated",
        },
        "per_request_j_by_round": [joules, joules and joules * 1.2],
        "answered_by": {"tiers": {"scout": 7, "expert": 3}, "escalated": 2},
        "weight_bytes": 3_200_000,
    }  # fmt: skip
    return {
        "made_at": "2026-11-21 12:00 UTC",
        "machine": "test",
        "asked": {"from": "questions.jsonl", "questions": 10, "concurrency": 1, "rounds": 2},
        "energy_source": "model",
        "deployment": {"quantisation": {"max_loss": 0.01, "source": "a choice"}},
        "variants": [row],
        "skipped": [{"name": "cascade", "why": "no scout/confidence.json"}],
        "trade_offs": [],
        "verdict": {"deployed": "scout", "right_sized": None, "reason": "it cannot be told"},
    }


def test_the_sheet_says_figures_quality_and_what_was_not_run() -> None:
    text = deployment.markdown(document())
    for told in (
        "| scout | 90.0 % | – | 90.0 % [60.0, 98.0] | 12.3 / 12.3 ms",
        "| 50 mJ [50 mJ, 60 mJ] |",
        "1 at a time, greedy, in 2 rounds.",
        "Variants took turns: 2 rounds",
        "3.2 MB",
        "Joules are estimated (source model)",
        "scout: 1 requests failed and count as wrong.",
        "scout: joules are of 8 requests",
        "scout: answered by scout 7, expert 3; 2 after an escalation.",
        "cascade was not run: no scout/confidence.json.",
        "**Right-sized: not known. It cannot be told.**",
    ):
        assert told in text


def test_unknown_joules_are_a_dash_and_not_a_zero() -> None:
    text = deployment.markdown(document(None))
    assert "| – | – | – | 3.2 MB |" in text
    assert "Joules are not known" in text


def test_what_a_variant_saves_is_told_with_its_lowest_and_highest_round() -> None:
    told = document()
    told["trade_offs"] = [
        {
            "variant": "scout", "against": "expert", "exact": -0.01, "only_right_here": 0, "only_right_there": 1,
            "p_value": 1.0, "joules": -0.2, "joules_by_round": [-0.35, 0.05], "e2e_p50": None, "bytes": -0.5,
            "worth_it": None,
        }
    ]  # fmt: skip
    text = deployment.markdown(told)
    assert "| scout | expert | −1.0 pp | 0 / 1 (1) | −20.0 % [−35.0, +5.0] | – | −50.0 % | not known |" in text
    told["asked"]["rounds"] = 1
    assert "Variants ran one after another" in deployment.markdown(told)


def calibrated() -> dict[str, Any]:
    quality = {"ece": 0.02, "brier": 0.04, "bins": [{"stated": 0.9, "right": 0.8, "count": 10}]}
    rows = [{"threshold": 0.9, "kept": 0.8, "wrong": None, "bound": 1.0}]
    return {
        "model": "scout", "feature": "product", "split": "validation", "weights": "ab", "questions": 100, "right": 80,
        "written": "x",
        "held_out": {"questions": 40, "right": 30, "before": quality, "after": quality, "thresholds": rows},
    }  # fmt: skip


def test_the_page_of_a_calibration_says_where_it_is_from() -> None:
    text = reliability.markdown(calibrated(), "a.svg")
    assert "100 questions, validation;\n80 of them answered rightly" in text
    assert "| 0.90 | 80 % | – | 100 % |" in text
    assert "](a.svg)" in text
    layers = reliability.chart(calibrated()["held_out"])["layer"]
    assert layers[1]["data"]["values"][0] == {
        "arm": "before: ECE 0.020, Brier 0.040", "stated": 0.9, "right": 0.8, "count": 10,
    }  # fmt: skip


def test_without_the_library_that_draws_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(SettingsError, match=r"tokenjoule\[reports\]"):
        reliability.save(calibrated()["held_out"], tmp_path / "a.svg")
    with pytest.raises(SettingsError, match=r"\.svg or \.png"):
        reliability.require_drawable(tmp_path / "a.pdf")
