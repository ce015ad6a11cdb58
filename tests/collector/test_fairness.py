"""Beside a sender who floods the collector, one who sends little is served."""

import threading
import time

import httpx
import pytest

from collector.ingesting.backlog import Backlog
from collector.settings import QueueSettings
from conventions.errors import Overloaded
from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF, RunningCollector, Start

FLOOD_SPANS = 500
LIMITS = "[collector.queue]\nmax_rows = 20000\ncommit_rows = 500\n"


def body(service: str, first: int, count: int) -> bytes:
    spans = [span(number) for number in range(first, first + count)]
    sent: bytes = traces(spans, {"service.name": service}).SerializeToString()
    return sent


def flood(collector: RunningCollector, stop: threading.Event, answers: list[int]) -> None:
    """Post without a pause, whatever is answered."""
    with httpx.Client(base_url=collector.url, timeout=30) as http:
        sent = body("flood", 1, FLOOD_SPANS)
        while not stop.is_set():
            answers.append(http.post("/v1/traces", content=sent, headers=PROTOBUF).status_code)


def test_a_request_over_any_share_is_taken_beside_others_and_only_one_of_them() -> None:
    backlog = Backlog(QueueSettings(max_rows=100))
    backlog.enter("small", 1, 1)
    backlog.enter("large", 400, 1)
    for sender in ("large", "another"):
        with pytest.raises(Overloaded):
            backlog.enter(sender, 400, 1)
    backlog.leave("large", 400, 1)
    backlog.enter("another", 400, 1)


def test_a_small_sender_is_served_beside_a_flood(start: Start) -> None:
    collector = start(LIMITS)
    stop, flooding = threading.Event(), list[int]()
    threads = [threading.Thread(target=flood, args=(collector, stop, flooding)) for _ in range(3)]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + 60
    while 503 not in flooding and time.monotonic() < end_s:
        time.sleep(0.01)
    small = [
        collector.http.post("/v1/traces", content=body("small", 10**6 + n, 1), headers=PROTOBUF).status_code
        for n in range(50)
    ]
    stop.set()
    for thread in threads:
        thread.join()
    assert 503 in flooding, "the flood never filled the queue"
    assert small == [200] * 50
    assert 200 in flooding
    deadline_s = time.monotonic() + 120
    while collector.query("SELECT count(*) FROM spans WHERE service = 'small'") != [[50]]:
        assert time.monotonic() < deadline_s
