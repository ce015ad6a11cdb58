"""The stated standard errors hold the truth: 1.96 of them for at least 90 % of requests, whatever the machine."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerSettings
from analytics.ledger.simulation import Load, Meters, Simulated, Truth, simulate
from bench.truths.catalogue import BOARD, FOREIGN, H100_8B, NO_SPANS, SMALL
from bench.truths.loads import chat, load_for
from bench.truths.scores import Errors, per_request, scored

SECONDS = 300.0


def machine(truth: Truth, batch: float, meters: Meters = BOARD) -> Simulated:
    return simulate(load_for(batch, SECONDS, chat(8_000, 1), truth), truth, meters, seed=1)


def errors(simulated: Simulated, rule: str = "auto", missing: float = 0.0, *, counted: bool = True) -> Errors:
    """``counted``: the engine exports its counters; else spans and the meter are all there is."""
    seen = np.random.default_rng(3).uniform(size=len(simulated.true_j)) >= missing
    attempts, points = simulated.attempts.filter(seen), simulated.points
    points = points if counted else points.filter(pc.is_null(points["engine"]))
    settings = LedgerSettings(rule=rule)
    result = attribute(LedgerInputs(points, attempts, simulated.window_ns, settings=settings))
    joules, stated = per_request(result.attempt_energy, len(seen))
    return scored(joules[seen], simulated.true_j[seen], stated[seen])


@pytest.mark.parametrize("skew_s", [-0.05, 0.05])
@pytest.mark.parametrize("rule", ["counters_affine", "spans_affine"])
@pytest.mark.parametrize("batch", [2, 8, 64])
def test_an_affine_machine_is_split_well_and_the_errors_say_how_well(batch: float, rule: str, skew_s: float) -> None:
    found = errors(machine(H100_8B, batch, replace(BOARD, skew_s=skew_s)), rule, counted=rule == "counters_affine")
    assert found.median < 0.04
    assert found.p95 < 0.15
    assert abs(found.bias) < 0.01
    assert found.coverage >= 0.9


@pytest.mark.parametrize("truth", FOREIGN)
@pytest.mark.parametrize("batch", [2, 8, 64])
def test_a_machine_of_another_form_is_admitted_to(truth: str, batch: float) -> None:
    assert errors(machine(FOREIGN[truth], batch)).coverage >= 0.9


def test_stock_vllms_counters_with_contexts_from_spans_are_as_good() -> None:
    found = errors(machine(H100_8B, 24, replace(BOARD, generated_only=True)))
    assert found.median < 0.04
    assert found.p95 < 0.15
    assert found.coverage >= 0.9


def test_a_gpu_that_its_power_cap_holds_still_is_admitted_to() -> None:
    found = errors(machine(FOREIGN["power cap"], 128))
    assert found.median < 0.1
    assert found.coverage >= 0.9


@pytest.mark.parametrize("batch", [2, 8, 64])
def test_company_that_sends_no_spans_is_admitted_to(batch: float) -> None:
    assert errors(machine(H100_8B, batch), missing=NO_SPANS).coverage >= 0.9


@pytest.mark.parametrize(("batch", "missing"), [(2, 0.1), (8, 0.1), (8, 0.25), (64, 0.1), (64, 0.25)])
def test_company_without_spans_or_counters_shows_in_what_the_meter_varies_by(batch: float, missing: float) -> None:
    assert errors(machine(H100_8B, batch), missing=missing, counted=False).coverage >= 0.9


def test_with_all_spans_there_nothing_is_thought_to_be_missing() -> None:
    simulated = machine(H100_8B, 8)
    points = simulated.points.filter(pc.is_null(simulated.points["engine"]))
    result = attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns))
    joules, stated = per_request(result.attempt_energy, len(simulated.true_j))
    assert np.median(stated / joules) < 0.1


@pytest.mark.parametrize("meters", [Meters(sample_offset_s=0.061), Meters(sample_s=1.0, sample_offset_s=0.061), BOARD],
                         ids=["clean", "once a second", "noisy"])  # fmt: skip
@pytest.mark.parametrize("rate", [1.0, 5.0, 20.0])
def test_very_short_requests_are_admitted_to(rate: float, meters: Meters) -> None:
    """Answers of 2 to 24 tokens in 10 to 150 ms, several to an energy sample."""
    random = np.random.default_rng(2)
    size = round(rate * 120.0)
    arrivals = np.sort(random.uniform(0, 120.0, size))
    load = Load(arrivals, random.integers(8, 60, size), np.zeros(size, np.int64), random.integers(2, 24, size))
    assert errors(simulate(load, SMALL, meters)).coverage >= 0.9


@pytest.mark.parametrize("rule", ["counters_affine", "spans_affine"])
@pytest.mark.parametrize("batch", [24, 64])
def test_a_board_that_nobody_saw_at_rest_is_admitted_to(batch: float, rule: str) -> None:
    """Metered only while it is busy: half its lowest power stands for idle, rows say so, errors hold the truth."""
    simulated = machine(H100_8B, batch)
    begin, end = (simulated.window_ns[0] + round(moment * 1e9) for moment in (30.0, 200.0))
    times = simulated.points["time_ns"]
    busy = simulated.points.filter(pc.and_(pc.greater(times, begin), pc.less(times, end)))
    place = busy.column_names.index("quality")
    busy = busy.set_column(place, "quality", pa.array(["measured"] * busy.num_rows))
    busy = busy if rule == "counters_affine" else busy.filter(pc.is_null(busy["engine"]))
    settings = LedgerSettings(rule=rule)
    result = attribute(LedgerInputs(busy, simulated.attempts, (begin, end), settings=settings))
    rows = result.intervals
    of_device = pc.is_null(rows["engine"])
    assert set(rows.filter(of_device)["quality"].to_pylist()) == {"estimated"}
    assert set(rows.filter(pc.invert(of_device))["quality"].to_pylist()) == {"measured"}
    assert set(result.step_models["idle_basis"].to_pylist()) == {"unseen"}
    joules, stated = per_request(result.attempt_energy, len(simulated.true_j))
    ran = [pc.cast(simulated.attempts[name], "int64").to_numpy() * 1000 for name in ("prefill_started_at", "ended_at")]
    inside = (ran[0] > begin + 2e9) & (ran[1] < end - 4e9)
    assert joules[inside].sum() < 0.9 * simulated.true_j[inside].sum()  # 80 W are true, half the lowest is twice that
    assert scored(joules[inside], simulated.true_j[inside], stated[inside]).coverage >= 0.9
