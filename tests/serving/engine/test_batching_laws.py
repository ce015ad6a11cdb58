"""The laws of ``plan.py`` hold for every policy in ``batching/``, also for those added later."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions import plugins
from conventions.errors import PluginError
from serving.engine.plan import Plan, Running, Snapshot, Waiting

law = settings(deadline=None, max_examples=60)

FOLDER = "serving.engine.batching"
MAX_SLOTS = 6
every_policy = pytest.mark.parametrize("name", plugins.names(FOLDER))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    waiting = draw(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40), st.integers(0, 2)), max_size=8))
    running = draw(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 120), st.integers(1, 40)), max_size=MAX_SLOTS))
    now_s = draw(st.floats(0, 1e6))
    return Snapshot(
        now_s=now_s,
        waiting=tuple(
            Waiting(f"w{i}", prompt, out, now_s - draw(st.floats(0, 60)), priority)
            for i, (prompt, out, priority) in enumerate(waiting)
        ),
        running=tuple(
            Running(
                f"r{i}", prompt, min(computed, prompt + out - 1), max(0, computed - prompt), out,
                now_s - 1.0, draw(st.integers(0, 2)), draw(st.floats(0, 50)),
            )
            for i, (prompt, computed, out) in enumerate(running)
        ),
        free_slots=MAX_SLOTS - len(running),
        free_positions=draw(st.integers(0, 300)),
        max_batched_tokens=draw(st.integers(MAX_SLOTS, 64)),
        pace_tokens=draw(st.none() | st.integers(1, 64)),
    )  # fmt: skip


def plan(name: str, snapshot: Snapshot) -> Plan:
    decided: Plan = plugins.load(FOLDER, name, "Policy")().plan(snapshot)
    return decided


@every_policy
@law
@given(snapshot=snapshots())
def test_a_plan_fits_what_is_free(name: str, snapshot: Snapshot) -> None:
    decided = plan(name, snapshot)
    admitted, put_back = decided.admit, decided.preempt
    positions = {one.id: one.num_positions for one in (*snapshot.waiting, *snapshot.running)}
    freed = sum(positions[one] for one in put_back)
    assert len(set(admitted)) == len(admitted) <= snapshot.free_slots + len(put_back)
    assert sum(positions[one] for one in admitted) <= snapshot.free_positions + freed


@every_policy
@law
@given(snapshot=snapshots())
def test_only_running_work_is_put_back_and_only_for_better_work(name: str, snapshot: Snapshot) -> None:
    decided = plan(name, snapshot)
    running = {one.id: one.priority for one in snapshot.running}
    waiting = {one.id: one.priority for one in snapshot.waiting}
    assert set(decided.preempt) <= running.keys()
    assert not set(decided.preempt) & {*decided.decode, *(chunk.id for chunk in decided.prefill)}
    if decided.preempt:
        best = min(waiting[one] for one in decided.admit)
        assert all(running[one] > best for one in decided.preempt)


@every_policy
@law
@given(snapshot=snapshots())
def test_a_plan_computes_what_is_left_once_and_within_the_budget(name: str, snapshot: Snapshot) -> None:
    decided = plan(name, snapshot)
    left = {one.id: one.num_prefill_left for one in snapshot.running if one.num_prefill_left}
    left |= {one.id: one.num_prompt_tokens for one in snapshot.waiting if one.id in decided.admit}
    decodable = {one.id for one in snapshot.running if not one.num_prefill_left}
    named = [*decided.decode, *(chunk.id for chunk in decided.prefill)]
    assert len(set(named)) == len(named)
    assert set(decided.decode) <= decodable
    assert all(1 <= chunk.num_tokens <= left[chunk.id] for chunk in decided.prefill)
    total = len(decided.decode) + sum(chunk.num_tokens for chunk in decided.prefill)
    assert total <= snapshot.max_batched_tokens


@every_policy
@law
@given(snapshot=snapshots())
def test_something_happens_when_something_can(name: str, snapshot: Snapshot) -> None:
    first_fits = any(one.num_positions <= snapshot.free_positions for one in snapshot.waiting[:1])
    if snapshot.running or (first_fits and snapshot.free_slots):
        decided = plan(name, snapshot)
        assert decided.has_work or decided.wake_after_s is not None


@every_policy
@law
@given(snapshot=snapshots())
def test_the_same_snapshot_gives_the_same_plan(name: str, snapshot: Snapshot) -> None:
    before = copy.deepcopy(snapshot)
    assert plan(name, snapshot) == plan(name, snapshot)
    assert snapshot == before


def test_continuous_decodes_everyone_before_it_prefills_anyone() -> None:
    running = tuple(Running(f"r{i}", 4, 4, 1, 9, 0.0) for i in range(3))
    decided = plan("continuous", Snapshot(0.0, (Waiting("w", 50, 5, 0.0),), running, 3, 300, 10))
    assert decided.decode == ("r0", "r1", "r2")
    assert [chunk.num_tokens for chunk in decided.prefill] == [7]


def test_an_unknown_policy_is_answered_with_the_choices() -> None:
    with pytest.raises(PluginError, match=r"did you mean 'continuous'\?.*choose from .*continuous.*none"):
        plugins.load(FOLDER, "continous", "Policy")
