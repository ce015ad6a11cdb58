"""Counters that say when they began count from 0 there: the first seconds of an engine are split like all others."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.series import series
from analytics.ledger.simulation import DAY_NS, Load, Meters, simulate
from bench.truths.catalogue import SMALL
from conventions import instruments
from tests.analytics.ledger.test_holes import Host, at_s, found_late, joules_by_engine, of_engine

SECOND = 1_000_000_000
ENERGY = instruments.HW_ENERGY.name
STARTED_S = 20.1  # the load begins then


def a_starting_engine() -> Any:
    """Requests from the moment that the engine is there; energy is metered from 20 s before."""
    random = np.random.default_rng(4)
    arrivals = np.sort(np.concatenate([random.uniform(0.05, 1.0, 8), random.uniform(1.0, 60.0, 200)]))
    size = len(arrivals)
    load = Load(arrivals, random.integers(8, 60, size), np.zeros(size, np.int64), random.integers(4, 30, size))
    return simulate(load, SMALL, Meters(sample_s=0.5, export_offset_s=0.9), idle_s=20.0)


def from_moment(points: pa.Table, first_s: float, started_s: float) -> pa.Table:
    """``points`` with counters from ``first_s`` on, which say that they began at ``started_s``."""
    counter = pc.not_equal(points["metric"], ENERGY)
    kept = points.filter(pc.or_(pc.invert(counter), pa.array(at_s(points) >= first_s)))
    starts = pc.if_else(pc.not_equal(kept["metric"], ENERGY), DAY_NS + round(started_s * SECOND), kept["start_ns"])
    return kept.set_column(kept.column_names.index("start_ns"), "start_ns", starts)


def early(result: LedgerResult) -> dict[str, float]:
    """Joules by request that were spent in the first interval with work."""
    begun = pa.scalar((DAY_NS + 20 * SECOND) // 1000, pa.int64()).cast(pa.timestamp("us"))
    rows = result.attempt_energy.filter(pc.equal(result.attempt_energy["started_at"], begun))
    found = rows.group_by("request_id").aggregate([("joules", "sum")]).to_pylist()
    return {row["request_id"]: row["joules_sum"] for row in found}


def methods(result: LedgerResult) -> set[str]:
    return set(result.intervals.filter(pc.is_valid(result.intervals["predicted_j"]))["method"].to_pylist()) | set(
        result.intervals.filter(pc.equal(result.intervals["engine"], "e"))["method"].to_pylist()
    )


@pytest.mark.parametrize(("first_s", "started_s"), [(20.9, 20.0), (20.0, 20.0)])
def test_the_first_second_of_an_engine_is_split_by_its_counters(first_s: float, started_s: float) -> None:
    """Its first export is a difference from 0, where it says since when it counts, or says that it counted nothing."""
    simulated = a_starting_engine()
    points = simulated.points
    if first_s == 20.0:  # it reports at once, before any work
        counter = points.filter(pc.not_equal(points["metric"], ENERGY))
        zero = counter.filter(pa.array(np.isclose(at_s(counter), 19.9)))
        at_once = pa.array([DAY_NS + 20 * SECOND] * zero.num_rows)
        points = pa.concat_tables([points, zero.set_column(zero.column_names.index("time_ns"), "time_ns", at_once)])
        started_s = first_s
    whole = attribute(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns))
    begun = from_moment(points, first_s, started_s)
    found = attribute(LedgerInputs(begun, simulated.attempts, simulated.window_ns))
    assert "time_overlap" not in methods(found)
    expected = early(whole)
    assert len(expected) >= 8
    assert early(found) == pytest.approx(expected, rel=0.02)


def test_a_counter_of_unknown_beginning_says_nothing_of_the_time_before() -> None:
    """OTLP: where the start time is that of the first point, its value is where the counter stood by chance."""
    simulated = a_starting_engine()
    begun = from_moment(simulated.points, 20.9, 20.9)
    found = attribute(LedgerInputs(begun, simulated.attempts, simulated.window_ns))
    assert "time_overlap" in methods(found)


def test_a_counter_that_began_anew_counts_from_0_again() -> None:
    times = np.array([1.0, 2.0, 3.0, 5.0, 6.0])
    starts = np.array([0.0, 0.0, 0.0, 4.2, 4.2])
    stamps, begun = ((DAY_NS + np.round(values * 1e9)).astype(np.int64) for values in (times, starts))
    table = pa.table({"time_ns": stamps, "start_ns": begun, "value": pa.array([10.0, 20.0, 30.0, 8.0, 18.0])})
    plain, told = (series(table, DAY_NS, since_ns=since) for since in (None, DAY_NS + SECOND // 2))
    edges = np.array([1.0, 2.0, 3.0, 4.2, 5.0, 6.0])
    assert list(plain.between(edges)[1]) == [True, True, False, False, True]
    differences, known = told.between(edges)
    assert list(known) == [True, True, False, True, True]
    assert differences[[0, 1, 3, 4]] == pytest.approx([10.0, 10.0, 8.0, 10.0])


def test_what_an_engine_used_before_its_process_was_found_is_its_own() -> None:
    """It begins at 5 s and is found at 8: its CPU time counts from its beginning."""
    random = np.random.default_rng(5)
    cores = np.where(np.arange(60) < 5, 0.0, random.uniform(0.5, 2.0, 60))
    host = Host({"one": cores, "two": random.uniform(0.2, 1.0, 60)})
    points = host.points()
    of_one = of_engine(points, "one")
    late = points.filter(pc.invert(pc.and_(pa.array(at_s(points) < 8), of_one)))
    starts = pc.if_else(of_engine(late, "one"), DAY_NS + 5 * SECOND, late["start_ns"])
    begun = late.set_column(late.column_names.index("start_ns"), "start_ns", starts)
    result = host.attributed(begun)
    assert "unshared" not in result.intervals["unattributed_reason"].to_pylist()
    paid = set(result.attempt_energy["request_id"].to_pylist())
    assert {f"one-{second}" for second in range(5, 60)} <= paid
    assert joules_by_engine(result)["one"] == pytest.approx(15.0 * cores.sum(), rel=0.02)
    unknown = host.attributed(found_late(points, "one", 8))
    assert "unshared" in unknown.intervals["unattributed_reason"].to_pylist()
