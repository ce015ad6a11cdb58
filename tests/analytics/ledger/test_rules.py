"""Which rule splits when the evidence is thin, and that rows say so."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.charges.intervals import Charging, charged
from analytics.ledger import rules
from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerSettings
from analytics.ledger.requests import with_energy
from analytics.ledger.rows import ATTEMPT_ENERGY
from analytics.ledger.simulation import Load, Meters, Simulated, Truth, simulate
from analytics.relations.settlement import settle
from conventions import plugins
from conventions.errors import PluginError
from store import schemas


def few_requests(seconds: float = 6.0) -> Simulated:
    random = np.random.default_rng(5)
    size = 6
    prompt, output = random.integers(8, 60, size), random.integers(2, 24, size)
    load = Load(np.sort(random.uniform(0, seconds, size)), prompt, np.zeros(size, np.int64), output)
    return simulate(load, Truth(), Meters(), idle_s=7.0)


def methods(inputs: LedgerInputs) -> set[str]:
    return set(attribute(inputs).intervals["method"].to_pylist())


def without(points: pa.Table, prefix: str) -> pa.Table:
    return points.filter(pc.invert(pc.starts_with(points["metric"], prefix)))


def test_few_intervals_fall_back_to_weighted_positions() -> None:
    simulated = few_requests()
    inputs = LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns)
    assert methods(inputs) == {"phase_weighted", "none"}
    rows = attribute(inputs).intervals
    weighted = rows.filter(pc.equal(rows["method"], "phase_weighted"))
    assert weighted["predicted_j"].null_count == weighted.num_rows


def test_constants_fitted_before_bridge_the_start() -> None:
    simulated = few_requests()
    row = {"engine": "e", "device": "gpu0", "model": None, "r2": 0.9, "condition": 3.0, "intervals": 99}
    constants = {"b": 3.1, "a_p": 0.012, "a_px": 0.0, "a_d": 0.068, "a_c": 2e-5, "idle_w": 80.0}
    fitted = {"fitted_at": np.datetime64("2026-01-01", "us").item(), "method": "counters_affine"}
    models = pa.Table.from_pylist([row | constants | fitted], schema=schemas.arrow("step_models"))
    inputs = LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns, models)
    result = attribute(inputs)
    assert "counters_affine" in set(result.intervals["method"].to_pylist())
    assert result.step_models.num_rows == 0
    assert result.attempt_energy["variance_j2"].null_count == result.attempt_energy.num_rows


def test_without_counters_time_is_shared() -> None:
    simulated = few_requests()
    points = without(simulated.points, "tokenjoule.engine")
    assert methods(LedgerInputs(points, simulated.attempts, simulated.window_ns)) == {"time_overlap", "none"}


@pytest.mark.parametrize("rule", plugins.names("analytics.ledger.rules"))
def test_every_rule_can_be_asked_for_and_conserves(rule: str) -> None:
    simulated = few_requests()
    settings = LedgerSettings(rule=rule)
    inputs = LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns, settings=settings)
    rows = attribute(inputs).intervals
    parts = [pc.sum(rows[name]).as_py() for name in ("attributed_j", "idle_j", "unattributed_j")]
    assert sum(parts) == pytest.approx(pc.sum(rows["total_j"]).as_py(), rel=1e-12)
    assert parts[0] > 0


def test_the_order_names_existing_rules() -> None:
    assert set(rules.ORDER) <= set(plugins.names("analytics.ledger.rules"))


def test_an_unknown_rule_names_the_choices() -> None:
    simulated = few_requests()
    settings = LedgerSettings(rule="fair_share")
    inputs = LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns, settings=settings)
    with pytest.raises(PluginError, match="counters_affine"):
        attribute(inputs)


def test_nothing_in_nothing_out() -> None:
    simulated = few_requests()
    empty = LedgerInputs(simulated.points.slice(0, 0), simulated.attempts.slice(0, 0), simulated.window_ns)
    assert attribute(empty).intervals.num_rows == 0
    no_meter = LedgerInputs(without(simulated.points, "hw.energy"), simulated.attempts, simulated.window_ns)
    assert attribute(no_meter).attempt_energy.num_rows == 0


def test_rows_have_the_columns_of_the_store() -> None:
    simulated = few_requests()
    result = attribute(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns))
    for relation, rows in (
        ("energy_intervals", charged(result.intervals, Charging())),
        ("attempt_energy", result.attempt_energy),
        ("step_models", result.step_models),
    ):
        assert {field.name: field.type for field in rows.schema} == {
            field.name: field.type for field in schemas.arrow(relation)
        }


def test_a_point_from_another_age_costs_no_memory() -> None:
    """A meter whose clock was at 1970 once must not become a billion intervals."""
    simulated = few_requests()
    place = simulated.points.column_names.index("time_ns")
    lost = simulated.points.slice(0, 1).set_column(place, "time_ns", pa.array([1], pa.int64()))
    points = pa.concat_tables([simulated.points, lost])
    result = attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns))
    assert 0 < result.intervals.num_rows < 100
    assert attribute(LedgerInputs(points, simulated.attempts, (0, 0))).intervals.num_rows == 0


def test_an_engine_on_another_host_does_not_pay() -> None:
    simulated = few_requests()
    here = pc.if_else(pc.is_valid(simulated.points["device"]), "a", "b")
    points = simulated.points.set_column(simulated.points.column_names.index("host"), "host", here)
    assert attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns)).attempt_energy.num_rows == 0
    shared = LedgerInputs(points, simulated.attempts, simulated.window_ns, shared_by={"gpu0": ("e",)})
    assert attribute(shared).attempt_energy.num_rows > 0


def test_a_cache_hit_costs_nothing_and_an_unmetered_request_is_not_known() -> None:
    row = {"received_ns": 1, "trace_id": "t", "span_id": "g", "name": "chat", "kind": "SERVER", "status": "OK"}
    hit = row | {"role": "gateway", "cache_result": "exact", "finish_reason": "stop"}
    answered = row | {"span_id": "h", "role": "gateway", "finish_reason": "stop", "output_tokens": 3}
    times = {"start_ns": 1_800_000_000_000_000_000, "end_ns": 1_800_000_001_000_000_000}
    spans = pa.Table.from_pylist([hit | times, answered | times], schema=schemas.arrow("spans"))
    settled, nothing = settle(spans), ATTEMPT_ENERGY.empty_table()
    requests, _ = with_energy(settled.requests, settled.attempts, nothing, {"cpu:0": "estimated"})
    found = {row["request_id"]: (row["energy_j"], row["energy_quality"]) for row in requests.to_pylist()}
    assert found == {"t:g": (0.0, "estimated"), "t:h": (None, None)}
    unmetered, _ = with_energy(settled.requests, settled.attempts, nothing, {})
    assert unmetered["energy_j"].null_count == 2
