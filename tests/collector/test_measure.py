"""Shipped metrics over HTTP, without the right to run SQL."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pyarrow as pa
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from analytics import metric
from analytics.idling import Idling
from analytics.metric import Filters, Window
from bench.listening import listening
from collector.answering.measure import measure_endpoint
from collector.answering.query import query_endpoint
from dashboard import sample
from store.limits import Limits
from store.writing import Store

END = datetime(2026, 11, 20, 12)
WINDOW = Window(END - timedelta(hours=2), END)
QUESTION = {"metric": "e2e_p95", "start": WINDOW.start.isoformat(), "end": f"{END.isoformat()}Z", "by": ["tier"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("measured")) as opened:
        sample.write(opened, sample.library_days(END, 3.0, 4.0))
        yield opened


@contextlib.contextmanager
def served(store: Store, query: str | None = None, measure: str | None = None) -> Iterator[str]:
    slots = anyio.CapacityLimiter(2)
    routes = [
        Route("/v1/measure", measure_endpoint(store, Limits(), slots, query, measure), methods=["POST"]),
        Route("/v1/query", query_endpoint(store, Limits(), query, slots), methods=["POST"]),
    ]
    with listening(Starlette(routes=routes)) as url:
        yield url


def ask(url: str, token: str | None = None, path: str = "measure", **body: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{url}/v1/{path}", json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("name", metric.names())
def test_every_metric_answers_as_in_the_process(store: Store, name: str) -> None:
    with served(store) as url:
        answer = ask(url, **{**QUESTION, "metric": name, "bucket_s": 3600, "filters": {"tenants": ["acme"]}})
    expected = metric.run(store, name, WINDOW, ("tier",), Filters(tenants=("acme",)), 3600)
    assert pa.ipc.open_stream(answer.content).read_all().equals(expected)


def test_the_measure_token_reads_metrics_and_runs_no_sql(store: Store, tmp_path: Path) -> None:
    with served(store, query="q", measure="m") as url:
        assert [ask(url, token, **QUESTION).status_code for token in (None, "x", "m", "q")] == [401, 401, 200, 200]
        assert [ask(url, token, "query", sql="SELECT 1").status_code for token in ("m", "q")] == [401, 200]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"metric": "e2e_p59"}, "e2e_p95"),
        ({"metric": "../x"}, "metric"),
        ({"by": ["user_id; DROP"]}, "by"),
        ({"end": QUESTION["start"]}, "empty"),
        ({"bucket_s": 0}, "bucket_s"),
        ({"bucket_s": 1e-9}, "bucket_s"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "out of range"),
        ({"sql": "SELECT 1"}, "sql"),
    ],
)
def test_a_wrong_question_is_400_naming_what_is_wrong(store: Store, change: dict[str, object], named: str) -> None:
    with served(store) as url:
        answer = ask(url, **{**QUESTION, **change})
    assert (answer.status_code, named in answer.json()["error"]) == (400, True)


def test_an_idle_policy_can_be_asked_for_and_a_wrong_one_is_told(store: Store) -> None:
    asked = {**QUESTION, "metric": "energy_per_successful_token", "by": ["tenant"]}
    reserved = Idling("reserved", {"archive": 0.5})
    with served(store) as url:
        shared = ask(url, **asked, idle="reserved", reservations=reserved.reservations)
        unknown = ask(url, **asked, idle="amortized")
        without = ask(url, **asked, idle="reserved")
    expected = metric.run(store, str(asked["metric"]), WINDOW, ("tenant",), idling=reserved)
    assert pa.ipc.open_stream(shared.content).read_all().equals(expected)
    assert (unknown.status_code, without.status_code) == (400, 400)
    assert "did you mean 'amortised'" in unknown.text
    assert "set both" in without.text
