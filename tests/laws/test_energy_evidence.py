"""Laws of the ledger (energy.md §3.5) about groups, failures, clocks, short windows, idle and late spans."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analytics.ledger.inputs import LedgerResult, LedgerSettings
from analytics.ledger.requests import with_energy
from conventions import instruments
from tests.laws.accounts import EXACT, assert_same, lawful, per_attempt, per_interval
from tests.laws.worlds import SECOND, World, rows_of, with_values, worlds


def of_device(points: pa.Table, name: str) -> pa.Table:
    """``points`` of a device by the name ``name``."""
    place = points.column_names.index("device")
    return points.set_column(place, "device", pa.array([name] * points.num_rows, pa.string()))


def column_sum(rows: pa.Table, name: str) -> float:
    return float(pc.sum(rows[name], min_count=0).as_py())


@lawful
@given(worlds(), st.floats(0.1, 5.0))
def test_03_groups_add_up_and_no_device_is_counted_twice(world: World, factor: float) -> None:
    """Two devices of one engine: requests = attempts = devices; a device named twice by its points is one."""
    points = world.inputs.points
    meter = rows_of(points, instruments.HW_ENERGY.name)
    second = of_device(with_values(meter, pc.multiply(meter["value"], factor)), "gpu1")
    result = world.but(points=pa.concat_tables([points, second, second])).attributed()
    alone = world.attributed()
    for device, expected in (("gpu0", 1.0), ("gpu1", factor)):
        rows = result.intervals.filter(pc.equal(result.intervals["device"], device))
        assert column_sum(rows, "total_j") == pytest.approx(expected * column_sum(alone.intervals, "total_j"), rel=1e-9)
    attempts = _with_energy_columns(world.inputs.attempts)
    requests = attempts.select(["request_id"]).group_by("request_id").aggregate([])
    requests = _with_energy_columns(requests, quality=True)
    found, tried = with_energy(requests, attempts, result.attempt_energy, {"gpu0": "simulated", "gpu1": "simulated"})
    attributed = column_sum(result.intervals, "attributed_j")
    assert column_sum(found, "energy_j") == pytest.approx(attributed, rel=1e-9)
    assert column_sum(tried, "energy_j") == pytest.approx(attributed, rel=1e-9)


def _with_energy_columns(rows: pa.Table, *, quality: bool = False) -> pa.Table:
    for name in ("energy_j", "energy_se_j"):
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()))
    return rows.append_column("energy_quality", pa.nulls(rows.num_rows, pa.string())) if quality else rows


@lawful
@given(worlds(), st.data())
def test_11_energy_per_successful_token_rises_with_failures(world: World, data: st.DataObject) -> None:
    """All joules stay, fewer tokens count: failures never make success cheaper."""
    attempts = world.inputs.attempts
    size = attempts.num_rows
    failed = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    assume(not failed.all())
    outcomes = pa.array(np.where(failed, "failed", "answered").tolist())
    place = attempts.column_names.index("outcome")
    tokens = attempts["output_tokens"].to_numpy()
    before = _active_j(world.attributed()) / tokens.sum()
    after = _active_j(world.but(attempts=attempts.set_column(place, "outcome", outcomes)).attributed())
    assert after / tokens[~failed].sum() >= before * (1 - 1e-9)


def _active_j(result: LedgerResult) -> float:
    return column_sum(result.intervals, "attributed_j") + column_sum(result.intervals, "unattributed_j")


@lawful
@given(worlds(), st.floats(-1.0, 1.0))
def test_12_a_skew_moves_no_more_energy_than_flowed_while_the_clocks_differ(world: World, part: float) -> None:
    """The meter's clock is up to one sample period off: an interval gains or loses what its ends metered meanwhile."""
    points = world.inputs.points
    skew_s = part * world.sample_s
    is_energy = pc.equal(points["metric"], instruments.HW_ENERGY.name)
    moved = pc.if_else(is_energy, pc.add(points["time_ns"], round(skew_s * SECOND)), points["time_ns"])
    skewed = world.but(points=points.set_column(points.column_names.index("time_ns"), "time_ns", moved)).attributed()
    before, after = per_interval(world.attributed()), per_interval(skewed)
    meter = rows_of(points, instruments.HW_ENERGY.name).sort_by("time_ns")
    hottest_w = (np.diff(meter["value"].to_numpy()) / np.diff(meter["time_ns"].to_numpy())).max() * SECOND
    bound = 2 * hottest_w * (abs(skew_s) + 1e-9)
    for key in before.keys() & after.keys():
        assert abs(after[key][0] - before[key][0]) <= bound + 1e-6
        assert after[key][1:].sum() == pytest.approx(after[key][0], rel=EXACT)


@lawful
@given(worlds(), st.integers(2, 9))
def test_14_intervals_below_the_meters_period_are_merged_or_flagged_and_never_nothing(world: World, every: int) -> None:
    """A meter read every few seconds: between two readings each interval has its even part, or is a gap; never 0 J."""
    points = world.inputs.points
    meter = rows_of(points, instruments.HW_ENERGY.name).sort_by("time_ns")
    seconds = meter["time_ns"].to_numpy() // SECOND
    kept = meter.filter(pa.array(np.append(True, np.diff(seconds // every) > 0)))
    assume(kept.num_rows >= 2)
    rest = points.filter(pc.not_equal(points["metric"], instruments.HW_ENERGY.name))
    result = world.but(points=pa.concat_tables([rest, kept])).attributed()
    flagged = result.intervals.filter(pc.equal(result.intervals["unattributed_reason"], "gap"))
    gaps = set(zip(flagged["device"].to_pylist(), flagged["started_at"].to_pylist(), strict=True))
    for key, joules in per_interval(result).items():
        assert key in gaps or joules[0] > 0


@pytest.mark.parametrize("interval_s", [0, 1])
def test_14_intervals_shorter_than_a_counter_is_good_for_are_refused(interval_s: int) -> None:
    with pytest.raises(ValueError, match="2 to 5 s"):
        LedgerSettings(interval_s=interval_s)


@lawful
@given(worlds())
def test_15_idle_is_a_line_of_its_own_whatever_is_done_with_it(world: World) -> None:
    """Requests never carry idle energy: rows of idle belong to no engine, and what is attributed excludes them."""
    result = world.attributed()
    rows = result.intervals
    of_engines = rows.filter(pc.is_valid(rows["engine"]))
    assert column_sum(of_engines, "idle_j") == 0
    idle = column_sum(rows.filter(pc.is_null(rows["engine"])), "idle_j")
    rest = column_sum(rows, "attributed_j") + column_sum(rows, "unattributed_j")
    assert idle + rest == pytest.approx(column_sum(rows, "total_j"), rel=EXACT)
    stated = rows.filter(pc.greater(rows["idle_j"], 0))
    assert set(stated["method"].to_pylist()) <= {"none"}


@lawful
@given(worlds(), st.data())
def test_16_a_late_span_splits_the_same_energy_again(world: World, data: st.DataObject) -> None:
    """Totals stay, the newcomer pays, and attributing twice gives the same rows."""
    attempts = world.inputs.attempts
    late = data.draw(st.integers(0, attempts.num_rows - 1))
    early = attempts.filter(pa.array(np.arange(attempts.num_rows) != late))
    before, after = world.but(attempts=early).attributed(), world.attributed()
    totals: list[dict[Any, float]] = [
        {key: float(joules[0]) for key, joules in per_interval(result).items()} for result in (before, after)
    ]
    assert_same(*totals)
    name = attempts["request_id"][late].as_py()
    assert name not in {request for request, _ in per_attempt(before)}
    assert_same(per_attempt(world.attributed()), per_attempt(after), EXACT)
    assert column_sum(after.intervals, "total_j") == pytest.approx(column_sum(before.intervals, "total_j"), rel=EXACT)
