"""Laws of the ledger (energy.md §3.5) over random worlds: what holds whatever the load, the meters and the failures.

The number in a name is that of the invariant there; 3, 11 (per successful token), 12 and 14 to 16 are in
``test_energy_evidence``, 7 in ``test_monotonicity``, the idle policies of 15 in ``test_idle``.
"""

from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analytics.ledger.inputs import LedgerResult
from conventions import instruments
from tests.laws.accounts import EXACT, JOULES, assert_same, lawful, nanoseconds, per_attempt, per_interval
from tests.laws.worlds import SECOND, World, rows_of, with_values, worlds


@lawful
@given(worlds(), st.data())
def test_01_attributed_idle_and_unattributed_are_the_counters_difference(world: World, data: st.DataObject) -> None:
    """Per row an identity; per device and interval the meter; whatever part of the spans arrives."""
    attempts = world.inputs.attempts
    seen = data.draw(st.lists(st.booleans(), min_size=attempts.num_rows, max_size=attempts.num_rows))
    result = world.but(attempts=attempts.filter(pa.array(seen))).attributed()
    meter = rows_of(world.inputs.points, instruments.HW_ENERGY.name).sort_by("time_ns")
    origin = world.inputs.window_ns[0]  # nanoseconds since 1970 do not fit into a float
    times, joules = meter["time_ns"].to_numpy() - origin, meter["value"].to_numpy()
    for (_, started), (total, attributed, idle, unattributed) in per_interval(result).items():
        begin = round(started.replace(tzinfo=UTC).timestamp()) * SECOND - origin
        measured = np.diff(np.interp([begin, begin + 2 * SECOND], times, joules))[0]
        assert total == pytest.approx(measured, rel=1e-9)
        assert attributed + idle + unattributed == pytest.approx(total, rel=EXACT)
    attributed = pc.sum(result.intervals["attributed_j"], min_count=0).as_py()
    paid = pc.sum(result.attempt_energy["joules"], min_count=0).as_py()
    assert paid == pytest.approx(attributed, rel=EXACT)


@lawful
@given(worlds())
def test_04_nothing_is_negative_and_nobody_pays_more_than_there_is(world: World) -> None:
    result = world.attributed()
    for name in JOULES:
        assert pc.min(result.intervals[name]).as_py() >= 0
    assert (pc.min(result.attempt_energy["joules"]).as_py() or 0.0) >= 0
    attributed = {key: values[1] for key, values in per_interval(result).items()}
    paid = result.attempt_energy.group_by(["request_id", "device", "started_at"]).aggregate([("joules", "sum")])
    for row in paid.to_pylist():
        assert row["joules_sum"] <= attributed[row["device"], row["started_at"]] * (1 + EXACT)


@lawful
@given(worlds(), st.integers(1, 8))
def test_02_splitting_the_window_changes_nothing(world: World, intervals: int) -> None:
    begin, end = world.inputs.window_ns
    middle = begin + intervals * 2 * SECOND
    whole = world.attributed()
    parts = [world.but(window_ns=window).attributed() for window in ((begin, middle), (middle, end))]
    energy = pa.concat_tables([part.attempt_energy for part in parts])
    joined = LedgerResult(pa.concat_tables([part.intervals for part in parts]), energy, whole.step_models)
    assert_same(per_attempt(joined), per_attempt(whole))
    assert joined.intervals.num_rows == whole.intervals.num_rows


@lawful
@given(worlds(), st.randoms(use_true_random=False))
def test_05_names_and_order_do_not_matter(world: World, random: Any) -> None:
    attempts, points = world.inputs.attempts, world.inputs.points
    order, other = list(range(attempts.num_rows)), list(range(points.num_rows))
    random.shuffle(order)
    random.shuffle(other)
    renamed = pa.array([f"x{name}" for name in attempts["request_id"].to_pylist()], pa.string())
    shuffled = attempts.set_column(0, "request_id", renamed).take(order)
    found = per_attempt(world.but(attempts=shuffled, points=points.take(other)).attributed())
    expected = {(f"x{name}", part): joules for (name, part), joules in per_attempt(world.attributed()).items()}
    assert_same(found, expected)


@lawful
@given(worlds())
def test_06_who_does_not_run_pays_nothing(world: World) -> None:
    """No joules further than one energy sample period from where an attempt ran; none for one that never ran."""
    attempts = world.inputs.attempts
    waiting = attempts.slice(0, 1).set_column(0, "request_id", pa.array(["waiting"]))
    for column in ("prefill_started_at", "first_token_at", "output_tokens"):
        nothing = pa.nulls(1, waiting[column].type)
        waiting = waiting.set_column(waiting.column_names.index(column), column, nothing)
    waiting = waiting.set_column(waiting.column_names.index("outcome"), "outcome", pa.array(["refused"]))
    result = world.but(attempts=pa.concat_tables([attempts, waiting])).attributed()
    begun = dict(zip(attempts["request_id"].to_pylist(), nanoseconds(attempts["prefill_started_at"]), strict=True))
    ended = dict(zip(attempts["request_id"].to_pylist(), nanoseconds(attempts["ended_at"]), strict=True))
    slack = round((world.sample_s + 0.001) * SECOND)
    for name, started in zip(
        result.attempt_energy["request_id"].to_pylist(), nanoseconds(result.attempt_energy["started_at"]), strict=True
    ):
        assert name in begun
        assert begun[name] - slack < started + 2 * SECOND
        assert started < ended[name] + slack


@lawful
@given(worlds(), st.sampled_from([0.5, 2.0, 1000.0]))
def test_09_twice_the_energy_is_twice_the_joules_for_everyone(world: World, factor: float) -> None:
    points = world.inputs.points
    is_energy = pc.equal(points["metric"], instruments.HW_ENERGY.name)
    scaled = with_values(points, pc.if_else(is_energy, pc.multiply(points["value"], factor), points["value"]))
    found = per_attempt(world.but(points=scaled).attributed())
    assert_same(found, {key: joules * factor for key, joules in per_attempt(world.attributed()).items()}, 1e-6)


@lawful
@given(worlds())
def test_10_cached_tokens_pay_no_prefill(world: World) -> None:
    attempts = world.inputs.attempts
    place = attempts.column_names.index("cached_input_tokens")
    result = world.but(
        attempts=attempts.set_column(place, "cached_input_tokens", attempts["input_tokens"])
    ).attributed()
    assert not {name for name, part in per_attempt(result) if part == "prefill"}


@lawful
@given(worlds(), st.sampled_from(["failed", "cancelled"]))
def test_11_failures_keep_their_joules(world: World, outcome: str) -> None:
    attempts = world.inputs.attempts
    place = attempts.column_names.index("outcome")
    failed = attempts.set_column(place, "outcome", pa.array([outcome] * attempts.num_rows, pa.string()))
    assert_same(per_attempt(world.but(attempts=failed).attributed()), per_attempt(world.attributed()))


@lawful
@given(worlds(), st.integers(20, 80))
def test_13_an_energy_counter_that_goes_back_is_a_gap(world: World, percent: int) -> None:
    """No negative, no wrap: the interval around it has a row without joules, the others keep theirs."""
    points = world.inputs.points
    meter = rows_of(points, instruments.HW_ENERGY.name).sort_by("time_ns")
    times, joules = meter["time_ns"].to_numpy(), meter["value"].to_numpy()
    reset = len(times) * percent // 100
    after = with_values(meter, np.where(np.arange(len(times)) >= reset, joules - joules[reset], joules))
    rest = points.filter(pc.not_equal(points["metric"], instruments.HW_ENERGY.name))
    result = world.but(points=pa.concat_tables([rest, after])).attributed()
    broken = {row["started_at"]: row for row in result.intervals.to_pylist() if row["unattributed_reason"] == "gap"}
    assert 1 <= len(broken) <= 2
    assert all(row["total_j"] == 0 and row["method"] == "none" for row in broken.values())
    kept = {key: values[0] for key, values in per_interval(result).items() if key[1] not in broken}
    expected = {key: values[0] for key, values in per_interval(world.attributed()).items() if key[1] not in broken}
    assert_same(kept, expected)


def silenced(world: World, source: str, seconds: int) -> World:
    """``world`` with a meter of ``source`` that sends nothing for so long, from 3 s on."""
    points = world.inputs.points
    begin = world.inputs.window_ns[0] + 3 * SECOND
    silent = pc.and_(pc.greater(points["time_ns"], begin), pc.less(points["time_ns"], begin + seconds * SECOND))
    is_energy = pc.equal(points["metric"], instruments.HW_ENERGY.name)
    sources = pc.if_else(is_energy, source, points["source"])
    named = points.set_column(points.column_names.index("source"), "source", sources)
    return world.but(points=named.filter(pc.invert(pc.and_(silent, is_energy))))


@lawful
@given(worlds(), st.sampled_from([4, 5, 6]))
def test_13_silence_of_a_sum_of_power_readings_is_a_gap_and_not_a_zero(world: World, seconds: int) -> None:
    """Nobody read power meanwhile: no joules are made up, neither there nor in the neighbours."""
    result = silenced(world, "nvml.power", seconds).attributed()
    gaps = [row for row in result.intervals.to_pylist() if row["unattributed_reason"] == "gap"]
    assert len(gaps) >= 1
    assert all(row["total_j"] == 0 for row in gaps)
    whole = {key: values[0] for key, values in per_interval(world.attributed()).items()}
    for key, values in per_interval(result).items():
        assert values[0] <= whole[key] * (1 + 1e-9)


@lawful
@given(worlds(), st.sampled_from([4, 5, 6]))
def test_13_silence_of_a_counter_is_what_it_counted_and_neither_a_gap_nor_a_zero(world: World, seconds: int) -> None:
    """The intervals that a hole touches sum to what the counter says of them; all others stay as they were."""
    result, whole = silenced(world, "nvml.counter", seconds).attributed(), world.attributed()
    assert "gap" not in result.intervals["unattributed_reason"].to_pylist()
    found, expected = per_interval(result), per_interval(whole)
    assert found.keys() == expected.keys()
    assume(2 * len(expected) >= 3 + seconds + world.sample_s + 2)  # the counter speaks again before the last edge
    changed = [key for key in found if found[key][0] != pytest.approx(expected[key][0], rel=1e-9)]
    assert len(changed) <= 1 + -(-seconds // 2) + 1
    assert all(found[key][0] > 0 for key in found)
    for total, attributed, idle, unattributed in found.values():
        assert attributed + idle + unattributed == pytest.approx(total, rel=EXACT)
    totals = [sum(values[0] for values in rows.values()) for rows in (found, expected)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9)


@lawful
@given(worlds())
def test_13_an_engine_restart_never_makes_negative_work(world: World) -> None:
    points = world.inputs.points
    middle = world.inputs.window_ns[0] + 10 * SECOND
    restarted = pc.and_(pc.greater(points["time_ns"], middle), pc.is_valid(points["engine"]))
    values = pc.if_else(restarted, pc.divide(points["value"], 7.0), points["value"])
    starts = pc.if_else(restarted, middle, points["start_ns"])
    changed = with_values(points, values)
    changed = changed.set_column(changed.column_names.index("start_ns"), "start_ns", starts)
    result = world.but(points=changed).attributed()
    for total, attributed, idle, unattributed in per_interval(result).values():
        assert min(total, attributed, idle, unattributed) >= 0
        assert attributed + idle + unattributed == pytest.approx(total, rel=EXACT)


@lawful
@given(worlds(max_requests=1))
def test_08_who_runs_alone_pays_for_everything(world: World) -> None:
    """All but one step for every export during its run: progress between exports is not seen."""
    attempts = world.inputs.attempts.to_pylist()
    rows = [row for row in world.attributed().intervals.to_pylist() if row["method"] != "none"]
    for attempt in attempts:
        own = [row for row in rows if row["engine"] == attempt["engine"]]
        exports = 1 + (attempt["ended_at"] - attempt["prefill_started_at"]).total_seconds()
        lost, paid = (sum(row[name] for row in own) for name in ("unattributed_j", "attributed_j"))
        assert lost <= (lost + paid) * exports / attempt["output_tokens"] + 1e-9
