"""Power of the moment says when energy was spent between two readings of its counter; how much stays the counter's."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs
from analytics.ledger.series import Series, series
from analytics.ledger.simulation import Load, Simulated, simulate
from bench.truths.catalogue import BOARD, H100_8B
from conventions import instruments

SECOND = 1_000_000_000


def points(times: np.ndarray, values: np.ndarray) -> pa.Table:
    stamps = pa.array(np.round(np.asarray(times) * 1e9).astype(np.int64))
    return pa.table(
        {"time_ns": stamps, "start_ns": pa.nulls(len(times), pa.int64()), "value": pa.array(values, pa.float64())}
    )


def swing(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joules and watts of a load that swings between 60 and 700 W every 1.15 s."""
    whole, rest = np.divmod(moments, 2.3)
    joules = whole * 1.15 * 760.0 + np.minimum(rest, 1.15) * 700.0 + np.maximum(rest - 1.15, 0.0) * 60.0
    return joules, np.where(rest < 1.15, 700.0, 60.0)


def metered(every_s: float, until_s: float = 60.0, *, shaped: bool) -> Series:
    times = np.arange(0.0, until_s, every_s)
    joules, watts = swing(times)
    return series(points(times, joules), 0, points(times, watts) if shaped else None)


def worst(meter: Series) -> float:
    """Mean absolute error of windows of 1 s at any moment, relative to their energy."""
    begins = np.arange(2.41, 55.0, 1.37)
    edges = np.stack([begins, begins + 1.0], axis=1)
    true = np.diff(swing(edges)[0], axis=1)[:, 0]
    found = np.array([meter.between(window)[0][0] for window in edges])
    return float(np.abs(found - true).sum() / true.sum())


def test_short_windows_at_any_moment_follow_the_switches_of_the_load() -> None:
    assert worst(metered(1.0, shaped=False)) > 0.2
    assert worst(metered(1.0, shaped=True)) < 0.02


pairs = st.lists(st.tuples(st.floats(0.2, 3.0), st.floats(0.0, 900.0)), min_size=3, max_size=30)
readings = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.0, 900.0)), min_size=2, max_size=60)


@given(pairs, readings, st.lists(st.floats(0.0, 60.0), min_size=2, max_size=20))
def test_whatever_power_says_the_total_is_the_counters_and_never_falls(
    energy: list[tuple[float, float]], power: list[tuple[float, float]], moments: list[float]
) -> None:
    lengths, watts = np.array(energy).T
    times = np.round(np.cumsum(lengths), 9)  # they are stored in nanoseconds
    joules = np.cumsum(np.diff(times, prepend=0.0) * watts)
    said = np.array(power).T
    meter = series(points(times, joules), 0, points(np.cumsum(said[0]), said[1]))
    cuts = np.union1d(np.array(moments), times)
    cuts = cuts[(cuts >= times[0]) & (cuts <= times[-1])]
    parts, _ = meter.between(cuts)
    assert (parts >= -1e-9 * joules[-1]).all()
    assert parts.sum() == pytest.approx(joules[-1] - joules[0], rel=1e-9, abs=1e-6)
    assert meter.at(times) == pytest.approx(joules - joules[0], rel=1e-6, abs=1e-6)  # times are stored in nanoseconds


def test_a_silent_counters_joules_fall_where_power_says_and_are_called_estimated() -> None:
    times = np.concatenate([np.arange(0.0, 10.5, 1.0), np.arange(14.0, 25.0, 1.0)])
    read = np.arange(0.0, 25.0, 1.0)
    power = np.where((read >= 12.0) & (read < 20.0), 700.0, 60.0)
    done = np.concatenate([[0.0], np.cumsum((power[1:] + power[:-1]) / 2)])
    energy = points(times, done[times.astype(int)])
    edges = np.arange(0.0, 25.0, 2.0)
    even, known = series(energy, 0).between(edges)
    assert known.all()
    assert even[5:7] == pytest.approx([(done[14] - done[10]) / 2] * 2)  # 10 to 12 s and 12 to 14 s
    meter = series(energy, 0, points(read, power))
    joules, known = meter.between(edges)
    assert known.all()
    assert list(np.flatnonzero(meter.estimated(edges))) == [5, 6]
    assert joules[5:7] == pytest.approx(np.diff(done[[10, 12, 14]]))
    assert joules.sum() == pytest.approx(even.sum())


def test_a_hole_in_both_is_even_for_a_counter_and_a_gap_for_what_was_summed_from_power() -> None:
    times = np.concatenate([np.arange(0.0, 10.5, 1.0), np.arange(18.0, 25.0, 1.0)])
    holed = points(times, np.full(len(times), 100.0))
    edges = np.arange(0.0, 25.0, 2.0)
    counter = series(points(times, 100.0 * times), 0, holed)
    joules, known = counter.between(edges)
    assert known.all()
    assert joules == pytest.approx(np.full(12, 200.0))
    assert list(np.flatnonzero(counter.estimated(edges))) == [5, 6, 7, 8]
    summed = series(points(times, 100.0 * times), 0, holed, counts_on=False)
    assert list(np.flatnonzero(~summed.between(edges)[1])) == [5, 6, 7, 8]


def small() -> Simulated:
    random = np.random.default_rng(1)
    load = Load(
        np.sort(random.uniform(0, 40, 80)),
        random.integers(8, 900, 80),
        np.zeros(80, np.int64),
        random.integers(2, 200, 80),
    )
    return simulate(load, H100_8B, replace(BOARD, sample_s=1.0, noise=0.0, sampled=1.0, refresh_s=0.0), seed=1)


def with_power(simulated: Simulated, source: str) -> pa.Table:
    """Points with power beside every energy sample: the mean around it."""
    energy = simulated.points.filter(pc.equal(simulated.points["metric"], instruments.HW_ENERGY.name))
    times, joules = energy["time_ns"].to_numpy() / 1e9, energy["value"].to_numpy()
    watts = np.gradient(joules, times - times[0])
    columns = {name: energy[name] for name in energy.column_names}
    columns |= {"metric": pa.array([instruments.HW_POWER.name] * len(times)), "value": pa.array(watts)}
    columns |= {"source": pa.array([source] * len(times))}
    return pa.concat_tables([simulated.points, pa.table(columns, schema=energy.schema)])


def test_intervals_that_only_power_places_are_estimated_and_the_balance_closes() -> None:
    simulated = small()
    whole = with_power(simulated, "nvml.instant")
    begun = pc.min(whole["time_ns"]).as_py()
    silent = pc.and_(
        pc.greater(whole["time_ns"], begun + 61 * SECOND // 2), pc.less(whole["time_ns"], begun + 69 * SECOND // 2)
    )
    lost = pc.and_(silent, pc.equal(whole["metric"], instruments.HW_ENERGY.name))
    holed = whole.filter(pc.invert(lost))
    found = {name: attribute(LedgerInputs(rows, simulated.attempts, simulated.window_ns)).intervals
             for name, rows in {"whole": whole, "holed": holed}.items()}  # fmt: skip
    assert set(found["whole"]["quality"].to_pylist()) == {"simulated"}
    assert "gap" not in found["holed"]["unattributed_reason"].to_pylist()
    totals = [pc.sum(rows["total_j"]).as_py() for rows in found.values()]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9)
    trailing = with_power(simulated, "nvml.power").filter(pc.invert(lost))
    rows = attribute(LedgerInputs(trailing, simulated.attempts, simulated.window_ns)).intervals
    powerless = trailing.filter(pc.not_equal(trailing["metric"], instruments.HW_POWER.name))
    assert rows.equals(attribute(LedgerInputs(powerless, simulated.attempts, simulated.window_ns)).intervals)


def test_a_measured_device_says_estimated_only_where_power_places_its_joules() -> None:
    simulated = small()
    whole = with_power(simulated, "nvml.instant")
    place = whole.column_names.index("quality")
    whole = whole.set_column(place, "quality", pa.array(["measured"] * whole.num_rows))
    begun = pc.min(whole["time_ns"]).as_py()
    inside = pc.and_(
        pc.greater(whole["time_ns"], begun + 61 * SECOND // 2), pc.less(whole["time_ns"], begun + 69 * SECOND // 2)
    )
    holed = whole.filter(pc.invert(pc.and_(inside, pc.equal(whole["metric"], instruments.HW_ENERGY.name))))
    rows = attribute(LedgerInputs(holed, simulated.attempts, simulated.window_ns)).intervals
    estimated = set(rows.filter(pc.equal(rows["quality"], "estimated"))["started_at"].to_pylist())
    assert 1 <= len(estimated) <= 3
    assert "measured" in rows["quality"].to_pylist()
