"""Joules of a part of a request's time are marked as such: ``energy_coverage`` is the share that was metered."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.coverage import with_coverage
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.requests import with_energy
from analytics.ledger.simulation import DAY_NS, Load, Meters, simulate
from bench.truths.catalogue import SMALL
from conventions import instruments
from tests.analytics.ledger.test_holes import at_s, found_late, two_engines

ENERGY = instruments.HW_ENERGY.name


def covered(attempts: pa.Table, result: LedgerResult, device: str = "gpu0") -> dict[str, tuple[Any, Any]]:
    """Joules and coverage by request, one request per attempt's ``request_id``."""
    size = attempts.num_rows
    empty = {"energy_j": pa.nulls(size, pa.float64()), "energy_se_j": pa.nulls(size, pa.float64())}
    empty |= {"energy_coverage": pa.nulls(size, pa.float64())}
    tries = pa.table({name: attempts[name] for name in attempts.column_names} | empty)
    ids = pc.unique(attempts["request_id"])
    columns = {name: pa.nulls(len(ids), pa.float64()) for name in empty} | {
        "energy_quality": pa.nulls(len(ids), pa.string())
    }
    requests = pa.table({"request_id": ids} | columns)
    requests, tries = with_energy(requests, tries, result.attempt_energy, {device: "simulated"})
    requests, tries = with_coverage(requests, tries, result.intervals)
    return {row["request_id"]: (row["energy_j"], row["energy_coverage"]) for row in requests.to_pylist()}


def long_and_short() -> Any:
    """One request of several seconds, and short ones around it; counters every second, energy every tenth."""
    arrivals = np.array([1.0, 2.0, 3.1, 12.0])
    output = np.array([2000, 4, 4, 8])
    load = Load(arrivals, np.array([20, 10, 10, 10]), np.zeros(4, np.int64), output)
    return simulate(load, SMALL, Meters(sample_s=0.1), idle_s=10.0)


def span_s(simulated: Any, number: int) -> tuple[float, float]:
    row = simulated.attempts.slice(number, 1).to_pylist()[0]
    begin, end = (np.datetime64(row[name], "us").astype(np.int64) / 1e6 for name in ("prefill_started_at", "ended_at"))
    return float(begin - DAY_NS / 1e9), float(end - DAY_NS / 1e9)


def test_a_request_over_a_counter_that_began_anew_says_how_much_of_it_was_metered() -> None:
    simulated = long_and_short()
    points = simulated.points
    later = pc.and_(pc.equal(points["metric"], ENERGY), pa.array(at_s(points) > 15.05))
    starts = pc.if_else(later, DAY_NS + 15_050_000_000, points["start_ns"])
    points = points.set_column(points.column_names.index("start_ns"), "start_ns", starts)
    result = attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns))
    assert "gap" in result.intervals["unattributed_reason"].to_pylist()
    begin, end = span_s(simulated, 0)
    assert begin < 14.0
    assert end > 16.0
    found = covered(simulated.attempts, result)
    joules, coverage = found["r0"]
    assert joules > 0
    assert coverage == pytest.approx(1 - 2.0 / (end - begin), abs=1e-5)
    assert [found[f"r{number}"][1] for number in (1, 2, 3)] == [1.0, 1.0, 1.0]


def test_a_request_before_the_first_reading_is_covered_from_it_on() -> None:
    simulated = long_and_short()
    points = simulated.points
    kept = pc.or_(pc.not_equal(points["metric"], ENERGY), pa.array(at_s(points) >= 13.95))
    result = attribute(LedgerInputs(points.filter(kept), simulated.attempts, simulated.window_ns))
    begin, end = span_s(simulated, 0)
    joules, coverage = covered(simulated.attempts, result)["r0"]
    assert joules > 0
    assert coverage == pytest.approx((end - 14.0) / (end - begin), abs=1e-5)
    assert covered(simulated.attempts, result)["r1"] == (None, None), "nothing of it was metered: no joules, not 0"


def test_an_engine_whose_cpu_time_is_not_known_yet_was_not_metered() -> None:
    host = two_engines()
    late = found_late(host.points(), "one", 10)
    attempts = host.attempts()
    moved = [
        row | ({"ended_at": row["ended_at"] + timedelta(seconds=2)} if row["request_id"] == "one-9" else {})
        for row in attempts.to_pylist()
    ]
    attempts = pa.Table.from_pylist(moved, schema=attempts.schema)
    begin_s, end_s = 9.1, 11.9
    result = attribute(LedgerInputs(late, attempts, (DAY_NS, DAY_NS + 60_000_000_000)))
    found = covered(attempts, result, "cpu:0")
    assert found["one-9"][1] == pytest.approx((end_s - 10.0) / (end_s - begin_s), abs=1e-5)
    assert found["one-3"] == (None, None)
    assert found["two-3"][1] == 1.0


def test_attempts_without_joules_count_by_their_time() -> None:
    """A first try that nobody metered and a second that was: the request's joules are those of the second."""
    simulated = long_and_short()
    result = attribute(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns))
    lost = simulated.attempts.slice(3, 1)
    unknown = lost.set_column(lost.column_names.index("engine"), "engine", pa.array(["elsewhere"]))
    second = lost.set_column(lost.column_names.index("attempt"), "attempt", pa.array([2], pa.int32()))
    energy = result.attempt_energy.filter(pc.equal(result.attempt_energy["request_id"], "r3"))
    energy = energy.set_column(1, "attempt", pa.array([2] * energy.num_rows, pa.int32()))
    split = LedgerResult(result.intervals, energy, result.step_models)
    joules, coverage = covered(pa.concat_tables([unknown, second]), split)["r3"]
    assert joules > 0
    assert coverage == pytest.approx(0.5)


def test_what_never_ran_is_wholly_covered() -> None:
    simulated = long_and_short()
    result = attribute(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns))
    refused = simulated.attempts.slice(3, 1)
    for name in ("prefill_started_at", "first_token_at"):
        place = refused.column_names.index(name)
        refused = refused.set_column(place, name, pa.nulls(1, refused.schema.field(name).type))
    refused = refused.set_column(refused.column_names.index("outcome"), "outcome", pa.array(["refused"]))
    refused = refused.set_column(refused.column_names.index("output_tokens"), "output_tokens", pa.nulls(1, pa.int64()))
    nothing = LedgerResult(result.intervals, result.attempt_energy.slice(0, 0), result.step_models)
    assert covered(refused, nothing)["r3"] == (0.0, 1.0)
