"""What tells the batching policies apart, pre-emption, the forecast, the pace, and replays on recorded arrivals."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from conventions.errors import SettingsError
from serving.engine.batching import dynamic, static, token_aware
from serving.engine.construction import batching_policy
from serving.engine.forecast import Forecast
from serving.engine.pace import LEAST, Pace
from serving.engine.plan import Running, Snapshot, Waiting
from serving.engine.replay import Arrival, Limits, StepCost, at_load, replay
from tests.serving.engine.stepped_engine import Stepped, tokens

COST = StepCost(base_s=3e-3, prefill_s=1e-4, prefill_context_s=4e-8, decode_s=3e-4, decode_context_s=5e-7)


def snapshot(waiting: list[Waiting], running: list[Running] | None = None, now_s: float = 1.0, **free: Any) -> Snapshot:
    found = {"free_slots": 4, "free_positions": 400, "max_batched_tokens": 64, **free}
    return Snapshot(now_s, tuple(waiting), tuple(running or ()), **found)


def test_static_admits_nobody_until_its_batch_is_done() -> None:
    running = [Running("r", 4, 4, 1, 9, 0.0)]
    assert static.Policy().plan(snapshot([Waiting("w", 5, 5, 0.0)], running)).admit == ()
    assert static.Policy().plan(snapshot([Waiting("w", 5, 5, 0.0)])).admit == ("w",)


def test_dynamic_starts_when_full_or_when_the_first_has_waited() -> None:
    policy = dynamic.Policy(size=2, timeout_s=0.5)
    one, two = Waiting("a", 5, 5, 0.8), Waiting("b", 5, 5, 0.9)
    waits = policy.plan(snapshot([one]))
    assert (waits.has_work, waits.wake_after_s) == (False, pytest.approx(0.3))
    assert policy.plan(snapshot([one, two])).admit == ("a", "b")
    assert policy.plan(snapshot([one], now_s=1.4)).admit == ("a",)


def test_token_aware_takes_the_shortest_work_first_until_another_has_grown_old() -> None:
    long, short = Waiting("long", 60, 5, 0.0), Waiting("short", 5, 5, 4.0)
    policy = token_aware.Policy(patience_s=10.0)
    assert policy.plan(snapshot([long, short], now_s=5.0)).prefill[0].id == "short"
    assert policy.plan(snapshot([long, short], now_s=10.0)).prefill[0].id == "long"


def test_token_aware_ranks_by_what_is_forecast() -> None:
    talks = Waiting("talks", 10, 90, 0.0, num_expected_tokens=80.0)
    nods = Waiting("nods", 20, 90, 0.0, num_expected_tokens=2.0)
    assert token_aware.Policy().plan(snapshot([talks, nods])).prefill[0].id == "nods"


def test_prompts_leave_decodes_their_pace_until_one_has_waited_long_enough() -> None:
    running = [Running("r", 4, 4, 1, 9, 0.0)]
    policy = token_aware.Policy(patience_s=10.0)
    for now_s, expected in ((1.0, 7), (10.0, 63)):
        decided = policy.plan(snapshot([Waiting("w", 200, 5, 0.0)], running, now_s, pace_tokens=8))
        assert decided.num_tokens == expected + 1


def test_an_old_request_that_does_not_fit_stops_those_behind_it() -> None:
    big, small = Waiting("big", 300, 200, 0.0), Waiting("small", 5, 5, 8.0)
    running = [Running("r", 4, 4, 1, 9, 0.0)]
    policy = token_aware.Policy(patience_s=10.0)
    assert policy.plan(snapshot([big, small], running, 9.0)).admit == ("small",)
    assert policy.plan(snapshot([big, small], running, 10.0)).admit == ()


def test_batch_work_gives_way_to_interactive_work_and_not_the_other_way_round() -> None:
    batch = [Running(f"b{i}", 40, 40, i, 60, 0.0, priority=1) for i in range(2)]
    asked = Waiting("now", 50, 50, 0.9, priority=0)
    policy = token_aware.Policy(patience_s=10.0)
    decided = policy.plan(snapshot([asked], batch, free_slots=0, free_positions=20))
    assert (decided.preempt, decided.admit, decided.decode) == (("b0",), ("now",), ("b1",))
    equals = [Running("b0", 40, 40, 1, 60, 0.0), Running("b1", 40, 40, 1, 60, 0.0)]
    assert policy.plan(snapshot([asked], equals, free_slots=0)).preempt == ()
    old = policy.plan(snapshot([Waiting("now", 50, 50, 19.9)], batch, now_s=20.0, free_slots=0))
    assert old.preempt == (), "old work is left to finish"


@pytest.mark.parametrize("cached", [0, 1024])
def test_work_that_was_put_back_goes_on_where_it_was(weights: Path, cached: int) -> None:
    alone = Stepped(weights)
    expected = alone.generate(range(6, 60), 30)
    options = {"patience_s": 1e9}  # arrivals lie at 0 of a clock that began when the machine did
    stepped = Stepped(
        weights, batching="token_aware", batching_options=options, max_num_seqs=1, max_cached_tokens=cached
    )
    slow = stepped.submit(range(6, 60), 30, priority=1)
    for _ in range(12):
        stepped.step()
    urgent = stepped.submit(range(100, 130), 5)
    stepped.finish()
    assert tokens(slow) == expected
    assert len(tokens(urgent)) == 5
    assert urgent.last_token_s is not None
    assert slow.last_token_s is not None
    assert urgent.last_token_s < slow.last_token_s
    counters = stepped.engine.counters
    assert counters.preemptions == 1
    again = counters.prefill_tokens - 54 - 30
    assert 0 < again <= (16 if cached else 54 + 12)


def test_the_forecast_is_what_such_requests_said_and_grows_with_what_was_said() -> None:
    forecast = Forecast()
    assert forecast.left(100, 50, 10) == 40
    for length in [4] * 30 + [40] * 10:
        forecast.learn(100, 50, length)
    assert forecast.left(100, 50, 0) == pytest.approx(13, rel=0.05)
    assert forecast.left(100, 50, 9) == pytest.approx(31, rel=0.05)
    assert forecast.left(9000, 5, 0) == 5, "never more than is allowed"


def test_the_pace_settles_where_steps_meet_the_target() -> None:
    """A step of n positions takes n milliseconds; 100 of them are the target."""
    pace = Pace(512, itl_target_s=0.1)
    seen = []
    for _ in range(200):
        seen.append(pace.tokens)
        pace.observe(pace.tokens, pace.tokens / 1000)
    assert 70 <= np.mean(seen[50:]) <= 110
    for _ in range(50):
        pace.observe(pace.tokens, 1.0)
    assert pace.tokens == LEAST
    unhurried = Pace(512, itl_target_s=None)
    unhurried.observe(512, 9.0)
    assert unhurried.tokens == 512


def bursts(count: int, seed: int) -> list[Arrival]:
    """Three bursts of mostly short and some long prompts."""
    draw = Random(seed)
    return [
        Arrival(60.0 * (i * 3 // count), draw.choice((60, 90, 200, 1500)), draw.choice((2, 5, 40)))
        for i in range(count)
    ]


@pytest.mark.parametrize("name", ["none", "static", "dynamic", "continuous", "token_aware"])
def test_a_replay_answers_everybody_under_every_policy(name: str) -> None:
    outcome = replay(batching_policy(name, {}), bursts(60, seed=1), COST, Limits(max_kv_tokens=6000))
    assert outcome.num_answered == len(outcome.ttft_s) == 60
    assert (outcome.ttft_s > 0).all()
    assert outcome.busy_share <= 1.0


def test_shortest_first_shortens_the_wait_of_most_at_the_same_throughput() -> None:
    arrivals = at_load(bursts(120, seed=2), 1.0)
    first_come, shortest = (
        replay(batching_policy(name, {}), arrivals, COST, Limits(max_num_seqs=8))
        for name in ("continuous", "token_aware")
    )
    assert np.median(shortest.ttft_s) < 0.5 * np.median(first_come.ttft_s)
    assert shortest.tokens_per_s == pytest.approx(first_come.tokens_per_s, rel=0.05)


def test_the_same_replay_gives_the_same_figures() -> None:
    one, two = (replay(batching_policy("token_aware", {}), bursts(40, seed=3), COST, Limits()) for _ in range(2))
    assert np.array_equal(one.ttft_s, two.ttft_s)


@pytest.mark.parametrize(("name", "named"), [("dynamic", "choose from size, timeout_s"), ("none", "choose from")])
def test_an_unknown_option_is_answered_with_the_choices(name: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        batching_policy(name, {"seize": 3})
