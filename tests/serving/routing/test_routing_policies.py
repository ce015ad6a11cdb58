"""Every policy of the folder keeps the contract; each has its own laws beside."""

import dataclasses
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions import plugins
from conventions.confidence import Calibration, TokenOdds
from conventions.errors import SettingsError
from conventions.settings import build
from serving.routing import cascade, complexity, least_loaded, round_robin
from serving.routing._types import AUTO_MODEL, Candidate, Choice, RequestFeatures, RoutingPolicy, Snapshot, Trial
from training.library_desk.tasks import sample

POLICIES = plugins.names("serving.routing")
TIERS = ("small", "medium", "large")


def candidates(min_healthy: int = 1) -> st.SearchStrategy[tuple[Candidate, ...]]:
    one = st.builds(Candidate, st.just(""), st.sampled_from(TIERS), st.integers(0, 9), st.booleans())
    some = st.lists(one, min_size=min_healthy, max_size=6).filter(lambda found: any(each.healthy for each in found))
    return some.map(lambda found: tuple(dataclasses.replace(each, name=f"b{i}") for i, each in enumerate(found)))


requests = st.builds(
    RequestFeatures, st.sampled_from([AUTO_MODEL, "scout"]), st.integers(0, 10_000), st.text(max_size=200)
)
snapshots = st.builds(Snapshot, requests, candidates(), st.integers(0, 100))


@cache  # once per name: looking for entry points takes milliseconds
def policy(name: str) -> RoutingPolicy:
    made: RoutingPolicy = plugins.load("serving.routing", name, "Policy")()
    return made


def test_the_folder_offers_the_three_policies() -> None:
    assert {"complexity", "least_loaded", "round_robin"} <= set(POLICIES)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_a_frozen_dataclass_of_settings_with_defaults(name: str) -> None:
    made: Any = policy(name)
    assert made.__dataclass_params__.frozen
    assert build(type(made), {}, "test") == made
    assert plugins.load("serving.routing", name, "Policy").__doc__


@pytest.mark.parametrize("name", POLICIES)
@given(snapshot=snapshots)
def test_the_choice_is_a_healthy_candidate_with_a_reason(name: str, snapshot: Snapshot) -> None:
    choice = policy(name).choose(snapshot)
    assert choice.backend in {candidate.name for candidate in snapshot.candidates if candidate.healthy}
    assert choice.reason


@pytest.mark.parametrize("name", POLICIES)
@given(snapshot=snapshots)
def test_the_same_snapshot_gives_the_same_choice(name: str, snapshot: Snapshot) -> None:
    fresh: RoutingPolicy = type(policy(name))()
    assert fresh.choose(snapshot) == policy(name).choose(snapshot)


@given(snapshot=snapshots, order=st.randoms())
def test_the_order_of_candidates_does_not_change_the_load_chosen_by_least_loaded(
    snapshot: Snapshot, order: Any
) -> None:
    shuffled = list(snapshot.candidates)
    order.shuffle(shuffled)
    other = dataclasses.replace(snapshot, candidates=tuple(shuffled))
    chosen = [_chosen(least_loaded.Policy(), each).in_flight for each in (snapshot, other)]
    assert chosen[0] == chosen[1] == min(each.in_flight for each in snapshot.candidates if each.healthy)


def test_least_loaded_takes_the_first_on_a_tie() -> None:
    two = (Candidate("a", "x", 3), Candidate("b", "x", 3))
    assert least_loaded.Policy().choose(Snapshot(RequestFeatures("m"), two)).backend == "a"


@given(found=candidates(), start=st.integers(0, 50), rounds=st.integers(1, 5))
def test_round_robin_gives_every_healthy_candidate_the_same_number_of_turns(
    found: tuple[Candidate, ...], start: int, rounds: int
) -> None:
    able = sum(each.healthy for each in found)
    turns = range(start, start + able * rounds)
    chosen = Counter(round_robin.Policy().choose(Snapshot(RequestFeatures("m"), found, turn)).backend for turn in turns)
    assert set(chosen.values()) == {rounds}
    assert len(chosen) == able


@given(snapshot=snapshots)
def test_complexity_never_leaves_the_wanted_tier_while_it_has_a_healthy_backend(snapshot: Snapshot) -> None:
    snapshot = dataclasses.replace(snapshot, request=dataclasses.replace(snapshot.request, model=AUTO_MODEL))
    policy = complexity.Policy(tiers=TIERS, thresholds=(1.0, 2.0))
    score = sum(policy.scores(snapshot.request.last_user_text).values())
    wanted = TIERS[(score >= 1.0) + (score >= 2.0)]
    inside = [each for each in snapshot.candidates if each.healthy and each.tier == wanted]
    chosen = _chosen(policy, snapshot)
    if inside:
        assert chosen.tier == wanted
        assert chosen.in_flight == min(each.in_flight for each in inside)


def test_complexity_goes_to_the_dearer_tier_when_the_wanted_one_is_down() -> None:
    found = (Candidate("a", "small", healthy=False), Candidate("b", "medium"), Candidate("c", "large"))
    choice = complexity.Policy().choose(Snapshot(RequestFeatures(AUTO_MODEL, last_user_text="Hi"), found))
    assert (choice.backend, choice.reason) == ("b", "plain → small, none reachable → medium")


def test_complexity_leaves_a_concrete_model_to_the_load() -> None:
    found = (Candidate("a", "small", 2), Candidate("b", "large", 1))
    choice = complexity.Policy().choose(Snapshot(RequestFeatures("scout", last_user_text="Hi"), found))
    assert (choice.backend, choice.reason) == ("b", "model named")


def test_complexity_tells_easy_from_hard_questions_of_the_library_desk() -> None:
    policy = complexity.Policy()
    asked = sample(seed=7, n=600, easy_share=0.5, split="heldout")
    hard = [sum(policy.scores(each.question).values()) >= policy.thresholds[0] for each in asked]
    right = sum(said == (each.difficulty == "hard") for said, each in zip(hard, asked, strict=True))
    assert right / len(asked) > 0.9


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("Explain step by step why this plan is better", "reasoning"),
        ("Fix this:\n```\ndef f(): return 1\n```", "code"),
        ("word " * 200, "length"),
        ("Is 17 times 23 larger than 400?", "large_numbers"),
    ],
)
def test_complexity_sees_signs_beyond_the_desk(text: str, signal: str) -> None:
    assert signal in complexity.Policy().scores(text)


CALIBRATION = Calibration("least_margin", (0.0, 1.0), (0.0, 1.0), "scout", "0" * 16, 10, 5, "test")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The identity: an answer is as probably right as its least sure token is ahead."""
    path = tmp_path_factory.mktemp("calibration") / "confidence.json"
    path.write_text(json.dumps(dataclasses.asdict(CALIBRATION)))
    return path


TRIO = (Candidate("a", "small", 3), Candidate("b", "small", 1), Candidate("c", "medium"), Candidate("d", "large"))


def asked_for_auto(*found: Candidate, refused: Trial | None = None) -> Snapshot:
    return Snapshot(RequestFeatures(AUTO_MODEL), found, refused=refused, tiers=TIERS)


def test_cascade_tries_the_cheapest_calibrated_tier_and_goes_up_after_each_refusal(calibrated: Path) -> None:
    policy = cascade.Policy(calibration={"small": calibrated, "medium": calibrated})
    first = policy.choose(asked_for_auto(*TRIO))
    assert first == Choice("b", "small on trial", on_trial=True)
    second = policy.choose(asked_for_auto(*TRIO[2:], refused=Trial("b", "small")))
    assert second == Choice("c", "small refused → medium", on_trial=True)
    third = policy.choose(asked_for_auto(TRIO[0], TRIO[3], refused=Trial("c", "medium")))
    assert third == Choice("d", "medium refused → large", on_trial=False)


def test_cascade_has_nobody_judged_when_nobody_dearer_is_up(calibrated: Path) -> None:
    policy = cascade.Policy(calibration={"small": calibrated})
    down = Candidate("d", "large", healthy=False)
    assert policy.choose(asked_for_auto(TRIO[0], down)) == Choice("a", "only small is left", on_trial=False)


def test_cascade_passes_over_a_tier_that_it_cannot_judge(calibrated: Path) -> None:
    policy = cascade.Policy(calibration={"medium": calibrated})
    assert policy.choose(asked_for_auto(*TRIO)) == Choice("c", "medium on trial", on_trial=True)
    assert cascade.Policy(calibration={}).choose(asked_for_auto(*TRIO)).backend == "d"


@given(margins=st.lists(st.floats(0, 1), min_size=1, max_size=8), threshold=st.floats(0, 1))
def test_cascade_shows_an_answer_from_the_threshold_on(
    calibrated: Path, margins: list[float], threshold: float
) -> None:
    policy = cascade.Policy(threshold=threshold, calibration={"small": calibrated})
    verdict = policy.judge(Trial("a", "small", tuple(TokenOdds(one, one) for one in margins)))
    assert verdict.chance == pytest.approx(min(margins))
    assert verdict.kept == (verdict.chance is not None and verdict.chance >= threshold)
    assert verdict.reason == ("small sure" if verdict.kept else "small unsure")


def test_cascade_does_not_show_an_answer_without_odds(calibrated: Path) -> None:
    verdict = cascade.Policy(calibration={"small": calibrated}).judge(Trial("a", "small"))
    assert (verdict.kept, verdict.reason, verdict.chance) == (False, "small gave no odds", None)


def test_cascade_leaves_a_concrete_model_alone_and_refuses_settings_that_cannot_work(tmp_path: Path) -> None:
    found = (Candidate("a", "small", 2), Candidate("b", "large", 1))
    assert cascade.Policy().choose(Snapshot(RequestFeatures("scout"), found)) == Choice("b", "model named")
    with pytest.raises(ValueError, match="between 0 and 1"):
        cascade.Policy(threshold=1.5)
    with pytest.raises(SettingsError, match="tokenjoule calibrate"):
        cascade.Policy(calibration={"small": tmp_path / "none.json"})


def test_complexity_refuses_settings_that_cannot_work() -> None:
    with pytest.raises(ValueError, match="thresholds must rise"):
        complexity.Policy(thresholds=(2.0, 1.0))
    with pytest.raises(ValueError, match="not a regular expression"):
        complexity.Signal(pattern="(", weight=1.0, at_most=1.0)


def _chosen(policy: RoutingPolicy, snapshot: Snapshot) -> Candidate:
    name = policy.choose(snapshot).backend
    return next(candidate for candidate in snapshot.candidates if candidate.name == name)
