"""Rows posted to append-only relations are checked field by field and there after the answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from collector.answering.records import records_endpoint
from collector.counters import Counters
from collector.ingesting.making import RowMaker
from collector.ingesting.pipeline import Pipeline
from collector.settings import QueueSettings
from collector.spool.segments import Spool
from store.writing import Store

RUN = {"recorded_at": "2026-11-20T18:30:00Z", "run_id": "r1", "kind": "load", "status": "started", "requests_sent": 5}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def pipeline(store: Store, tmp_path: Path) -> Iterator[Pipeline]:
    spool, counters = Spool(tmp_path / "spool"), Counters()
    made = Pipeline(store, spool, RowMaker((), 0, counters).tables, QueueSettings(), counters)
    yield made
    made.close()


def client(pipeline: Pipeline, token: str | None = None) -> TestClient:
    endpoint = records_endpoint(pipeline, token)
    return TestClient(Starlette(routes=[Route("/v1/records/{relation}", endpoint, methods=["POST"])]))


def post(pipeline: Pipeline, relation: str, *rows: Any) -> Any:
    answer = client(pipeline).post(f"/v1/records/{relation}", json={"rows": rows})
    pipeline.caught_up().result(20)
    return answer


def test_accepted_rows_are_there(store: Store, pipeline: Pipeline) -> None:
    assert post(pipeline, "runs", RUN, {**RUN, "run_id": "r2"}).json() == {"accepted": 2}
    rows = store.query("SELECT run_id, requests_sent, strftime(recorded_at, '%H:%M') AS at_utc FROM runs").to_pylist()
    assert rows[0] == {"run_id": "r1", "requests_sent": 5, "at_utc": "18:30"}
    assert len(rows) == 2


def test_a_zone_is_converted_and_a_missing_recorded_at_is_now(store: Store, pipeline: Pipeline) -> None:
    event = {"at": "2026-11-20T20:30:00+02:00", "kind": "deploy", "title": "v2"}
    assert post(pipeline, "events", event).status_code == 200
    row = store.query('SELECT "at", recorded_at IS NOT NULL AS stamped FROM events').to_pylist()[0]
    assert (str(row["at"]), row["stamped"]) == ("2026-11-20 18:30:00", True)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({**RUN, "run_idd": "x"}, "did you mean 'run_id'"),
        ({"kind": "load"}, "run_id, status must be given"),
        ({**RUN, "requests_sent": "five"}, "'requests_sent': expected an integer"),
        ({**RUN, "requests_sent": True}, "'requests_sent': expected an integer"),
        ({**RUN, "requests_sent": 2**63}, "64 bits"),
        ({**RUN, "started_at": "yesterday"}, "'started_at': expected an ISO 8601 time"),
        ({**RUN, "started_at": "0001-01-01T00:00:00+10:00"}, "'started_at': expected an ISO 8601 time"),
        ({**RUN, "run_id": 3}, "'run_id': expected a string"),
        ("not a row", "rows"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(store: Store, pipeline: Pipeline, row: Any, named: str) -> None:
    answer = post(pipeline, "runs", RUN, row)
    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert store.query("SELECT * FROM runs").num_rows == 0


def test_numbers_and_truth_values_are_told_apart(store: Store, pipeline: Pipeline) -> None:
    row = {
        "zone": "DE",
        "started_at": "2026-11-20",
        "g_per_kwh": 300,
        "basis": "average",
        "source": "x",
        "estimated": False,
    }
    assert post(pipeline, "grid_intensity", row).status_code == 200
    assert "true or false" in post(pipeline, "grid_intensity", {**row, "estimated": 1}).json()["error"]
    assert post(pipeline, "grid_intensity", {**row, "g_per_kwh": 2**60 + 1}).status_code == 200
    assert "too large" in post(pipeline, "grid_intensity", {**row, "g_per_kwh": 10**400}).json()["error"]
    assert "a number" in post(pipeline, "grid_intensity", {**row, "g_per_kwh": True}).json()["error"]


def test_lists_are_checked_item_by_item(store: Store, pipeline: Pipeline) -> None:
    names = ("b", "a_p", "a_px", "a_d", "a_c", "idle_w")
    row = {
        "fitted_at": "2026-11-20",
        "engine": "e",
        "device": "d",
        "intervals": 5,
        "method": "m",
        **dict.fromkeys(names, 1.0),
    }
    assert post(pipeline, "step_models", {**row, "covariance": [1, 2.5, None]}).status_code == 200
    assert store.query("SELECT covariance FROM step_models").to_pylist() == [{"covariance": [1.0, 2.5, None]}]
    assert "item 1: expected a number" in post(pipeline, "step_models", {**row, "covariance": [1, "x"]}).json()["error"]
    assert "expected a list" in post(pipeline, "step_models", {**row, "covariance": 1.0}).json()["error"]


@pytest.mark.parametrize("relation", ["spans", "requests", "manifest", "run"])
def test_only_append_only_relations_are_offered(store: Store, pipeline: Pipeline, relation: str) -> None:
    answer = post(pipeline, relation, RUN)
    assert answer.status_code == 404
    assert "runs" in answer.json()["error"]


def test_a_wrong_token_is_401(store: Store, pipeline: Pipeline) -> None:
    guarded = client(pipeline, "secret")
    assert guarded.post("/v1/records/runs", json={"rows": [RUN]}).status_code == 401
    given = {"Authorization": "Bearer secret"}
    assert guarded.post("/v1/records/runs", json={"rows": [RUN]}, headers=given).json() == {"accepted": 1}
