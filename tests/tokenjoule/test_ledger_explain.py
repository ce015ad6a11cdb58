"""``tokenjoule ledger explain`` over requests that the settling loop settled: what it shows adds up to the row."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from analytics.explanation import METHODS
from analytics.ledger.simulation import Load, Meters, Truth, simulate
from collector.settling.settle import Settler
from conventions import plugins
from conventions.errors import StoreError
from store.writing import Store
from tests.collector.test_settle import SETTINGS, points_of, spans_of
from tokenjoule.__main__ import app

TRUTH = Truth(0.05, 0.001, 0.0, 0.004, 0.0, 20.0, 0.004, 0.0003, 2e-5, 512, 16)
TRACE = f"{7:016x}"
REQUEST = f"{TRACE}:{TRACE}"
runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A minute of five short requests a second, settled; the last ten are stored and not settled."""
    random = np.random.default_rng(1)
    arrivals = np.sort(random.uniform(0, 60.0, 300))
    load = Load(arrivals, random.integers(8, 60, 300), np.zeros(300, np.int64), random.integers(2, 24, 300))
    simulated = simulate(load, TRUTH, Meters(sample_s=1.0, sample_offset_s=0.61))
    spans = spans_of(simulated)
    path: Path = tmp_path_factory.mktemp("settled")
    with Store.open(path, memory_limit="512MB") as store:
        store.append_raw({"spans": spans.slice(0, 290), "metric_points": points_of(simulated)})
        asyncio.run(Settler(store, SETTINGS).settle_now())
        store.append_raw({"spans": spans.slice(290)})
    return str(path)


def explained(folder: str, request_id: str = REQUEST) -> dict[str, object]:
    result = runner.invoke(app, ["ledger", "explain", request_id, "--data", folder, "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_components_and_intervals_add_up_to_the_row(folder: str) -> None:
    found = explained(folder)
    joules = found["joules"]
    assert isinstance(joules, float)
    assert joules > 0
    assert sum(found["components"].values()) == pytest.approx(joules, rel=1e-9)  # type: ignore[attr-defined]
    parts = found["parts"]
    assert isinstance(parts, list)
    assert sum(part["joules"] for part in parts) == pytest.approx(joules, rel=1e-9)
    assert sum(part["se_j"] for part in parts) == pytest.approx(found["se_j"], rel=1e-9)
    assert all(check["holds"] for check in found["checks"])  # type: ignore[attr-defined]
    for part in parts:
        assert set(part["terms"]) == {"meter", "form", "rest"}
        assert sum(term**2 for term in part["terms"].values()) == pytest.approx(part["se_j"] ** 2, rel=1e-9)
        assert 0 < part["terms"]["form"] <= 0.019 * part["joules"] * (1 + 1e-9)
    assert found["error_terms"]["meter"] == pytest.approx(sum(part["terms"]["meter"] for part in parts))  # type: ignore[index]
    assert len(found["checks"]) >= 3 + len({part["started_at"] for part in parts})  # type: ignore[arg-type]


def test_each_part_is_scale_times_prediction_of_what_its_engine_was_charged(folder: str) -> None:
    for part in explained(folder)["parts"]:  # type: ignore[attr-defined]
        assert part["method"] == "counters_affine"
        assert part["scale"] * part["predicted_j"] == pytest.approx(part["engine_j"], rel=1e-9)
        assert part["joules"] <= part["engine_j"] - part["unclaimed_j"] + 1e-9
        assert part["engine_j"] + part["idle_j"] <= part["counter_j"] * (1 + 1e-9)


def test_a_trace_of_one_request_names_it(folder: str) -> None:
    assert explained(folder, TRACE) == explained(folder)


def test_the_table_shows_rule_counter_constants_and_what_is_missing(folder: str) -> None:
    result = runner.invoke(app, ["ledger", "explain", REQUEST, "--data", folder])
    assert result.exit_code == 0, result.output
    for said in ("counters_affine", METHODS["counters_affine"], "constants [J]", "replay (gpu, simulated)", "no grams"):
        assert said in result.output
    assert "≠" not in result.output


def test_an_unknown_and_an_unsettled_request_are_told_apart(folder: str) -> None:
    unknown = runner.invoke(app, ["ledger", "explain", "0123:4567", "--data", folder])
    assert isinstance(unknown.exception, StoreError)
    assert "no request 0123:4567" in str(unknown.exception)
    late = f"{295:016x}"
    waiting = runner.invoke(app, ["ledger", "explain", f"{late}:{late}", "--data", folder])
    assert isinstance(waiting.exception, StoreError)
    assert "not settled yet" in str(waiting.exception)


def test_rows_that_do_not_add_up_are_an_exit_code(folder: str, tmp_path: Path) -> None:
    with Store.open(tmp_path / "off", memory_limit="512MB") as store:
        with Store.open(Path(folder), memory_limit="512MB") as settled:
            tables = {name: settled.query(f"SELECT * FROM {name}") for name in ("requests", "attempts")}
        tables = {name: rows.filter(pc.equal(rows["request_id"], REQUEST)) for name, rows in tables.items()}
        place = tables["requests"].column_names.index("energy_j")
        doubled = pc.multiply(tables["requests"]["energy_j"], 2.0)
        tables["requests"] = tables["requests"].set_column(place, "energy_j", doubled)
        started_us = pc.cast(tables["requests"]["started_at"], "int64")[0].as_py()
        bucket = started_us // 60_000_000 * 60_000_000_000
        store.replace_buckets(tables, {name: [bucket] for name in tables})
    result = runner.invoke(app, ["ledger", "explain", REQUEST, "--data", str(tmp_path / "off")])
    assert result.exit_code == 1
    assert "≠" in result.output


@pytest.mark.parametrize("rule", plugins.names("analytics.ledger.rules"))
def test_every_rule_says_when_it_is_used(rule: str) -> None:
    assert rule in METHODS
