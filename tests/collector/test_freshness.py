"""Reading waits for what was acknowledged, for so long; beyond it the answer says that it is not all."""

from concurrent.futures import Future

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from collector.answering import freshness
from collector.answering.freshness import after_all, after_most
from conventions.errors import StoreError
from store import reading
from tests.collector.payloads import span, traces
from tests.collector.running_collector import Start


class Behind:
    """A pipeline in name only: ``how`` it answers those who want to see everything."""

    def __init__(self, how: Exception | None, ever: bool = True) -> None:
        self.asked = 0
        self.max_age_s = -1.0
        self._how = how
        self._ever = ever

    def caught_up(self, max_age_s: float) -> "Future[None]":
        self.asked += 1
        self.max_age_s = max_age_s
        future: Future[None] = Future()
        if self._how:
            future.set_exception(self._how)
        elif self._ever:
            future.set_result(None)
        return future


async def endpoint(_request: Request) -> Response:
    return JSONResponse({"rows": 1})


def client(pipeline: Behind, token: str | None = None) -> TestClient:
    whole = after_all(endpoint, pipeline, token)  # type: ignore[arg-type]
    most = after_most(endpoint, pipeline, [token])  # type: ignore[arg-type]
    return TestClient(Starlette(routes=[Route("/whole", whole), Route("/most", most)]))


def test_what_is_stored_in_time_is_answered_as_it_is() -> None:
    asking = client(Behind(None))
    assert asking.get("/whole").json() == asking.get("/most").json() == {"rows": 1}
    assert freshness.BEHIND_HEADER not in asking.get("/most").headers


@pytest.mark.parametrize("pipeline", [Behind(StoreError("the disk is full")), Behind(None, ever=False)])
def test_what_is_not_is_said_or_refused(pipeline: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "QUERY_WAIT_S", 0.01)
    monkeypatch.setattr(freshness, "WHOLE_WAIT_S", 0.01)
    asking = client(pipeline)
    most = asking.get("/most")
    assert most.json() == {"rows": 1}
    assert "not all in the store" in most.headers[freshness.BEHIND_HEADER]
    whole = asking.get("/whole")
    assert (whole.status_code, whole.headers["retry-after"]) == (503, freshness.RETRY_AFTER_S)
    assert "not all in the store" in whole.json()["error"]


def test_who_may_not_read_does_not_make_the_store_hurry() -> None:
    pipeline = Behind(None)
    asking = client(pipeline, "secret")
    asking.get("/whole")
    asking.get("/most")
    assert pipeline.asked == 0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *[("max-age=2", 2.0), ("no-transform, Max-Age=30", 30.0), ('max-age="5" , x', 5.0), ("max-age=0", 0.0)],
        *[("", 0.0), ("max-age=", 0.0), ("max-age=-1", 0.0), ("max-age=soon", 0.0), ("s-max-age=2", 0.0)],
    ],
)
def test_a_request_may_say_how_old_its_answer_may_be(said: str, seconds: float) -> None:
    pipeline = Behind(None)
    client(pipeline).get("/most", headers={"cache-control": said})
    assert pipeline.max_age_s == seconds
    client(pipeline).get("/whole", headers={"cache-control": said})
    assert pipeline.max_age_s == 0.0, "settling and backups leave nothing out"


def test_a_reader_that_takes_old_answers_says_so(start: Start) -> None:
    collector = start()
    collector.post("/v1/traces", traces([span(1)]))
    with reading.open(collector.url, max_age_s=3600) as reader:
        assert reader.query("SELECT count(*) AS n FROM spans")["n"].to_pylist() in ([0], [1])
    assert collector.query("SELECT count(*) FROM spans") == [[1]]


def test_every_read_sees_what_was_answered_before(start: Start) -> None:
    collector = start()
    for number in range(1, 30):
        assert collector.post("/v1/traces", traces([span(number)])).status_code == 200
        assert collector.query("SELECT count(*) FROM spans") == [[number]]
