"""The fit finds the chances that made the answers, and the measures of how well it does are the known ones."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions.confidence import TokenOdds
from conventions.errors import SettingsError
from training.evaluation import calibration
from training.evaluation.calibration import Judged

SCOUT = Path(__file__).parents[3] / "serving" / "weights" / "scout"


def overconfident(count: int, seed: int) -> list[Judged]:
    """Answers of one token with probability p that are right with chance p²."""
    random = np.random.default_rng(seed)
    stated = random.uniform(0.3, 1.0, count)
    return [
        Judged((TokenOdds(p, 2 * p - 1),), bool(r))
        for p, r in zip(stated, random.random(count) < stated**2, strict=True)
    ]


def test_an_overconfident_model_is_found_out_on_answers_that_the_fit_has_not_seen() -> None:
    fitted = calibration.fit(overconfident(4000, 1), "scout", SCOUT, "test")
    found = calibration.report(fitted, overconfident(4000, 2))
    assert fitted.at(0.6) == pytest.approx(0.36, abs=0.08)
    assert found["before"]["ece"] > 0.15
    assert found["after"]["ece"] < 0.05
    assert found["after"]["brier"] < found["before"]["brier"]
    kept = [row["kept"] for row in found["thresholds"]]
    assert kept == sorted(kept, reverse=True)
    assert all(row["wrong"] <= row["bound"] for row in found["thresholds"] if row["wrong"] is not None)


def test_the_feature_that_tells_right_from_wrong_is_chosen() -> None:
    """Only the least sure token matters here; means of all tokens say next to nothing."""
    random = np.random.default_rng(4)
    judged = []
    for weak in random.uniform(0.2, 1.0, 1500):
        others = [TokenOdds(p, p) for p in random.uniform(weak, 1.0, 12)]
        judged.append(Judged((*others, TokenOdds(weak, weak)), bool(random.random() < weak)))
    assert calibration.fit(judged, "scout", SCOUT, "test").feature == "least_margin"


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.booleans()), min_size=20, max_size=60).filter(
        lambda pairs: 0 < sum(right for _, right in pairs) < len(pairs)
    )
)
def test_a_fit_keeps_the_share_of_right_answers(values: list[tuple[float, bool]]) -> None:
    """Isotonic regression is unbiased on what it was fitted to: the mean chance is the share that was right."""
    judged = [Judged((TokenOdds(p, p),), right) for p, right in values]
    fitted = calibration.fit(judged, "scout", SCOUT, "test")
    mean = sum(fitted.of(one.tokens) for one in judged) / len(judged)
    assert mean == pytest.approx(sum(right for _, right in values) / len(values), abs=1e-9)


def test_measures_are_the_known_ones() -> None:
    stated, right = np.array([0.05, 0.05, 0.95, 0.95]), np.array([0.0, 1.0, 1.0, 1.0])
    assert calibration.brier(stated, right) == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.05**2) / 4)
    assert calibration.expected_error(calibration.bins(stated, right)) == pytest.approx((0.45 + 0.05) / 2)


def test_a_calibration_of_other_weights_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps(asdict(calibration.fit(overconfident(100, 1), "scout", tmp_path, "test"))))
    assert calibration.stale(path) is None
    (tmp_path / "model.safetensors").write_bytes(b"others")
    assert "of other weights" in str(calibration.stale(path))


def test_answers_of_one_kind_cannot_be_calibrated() -> None:
    with pytest.raises(SettingsError, match=r"30 of 30 answers are right.*ask more"):
        calibration.fit([Judged((TokenOdds(0.9, 0.8),), True)] * 30, "scout", SCOUT, "test")
