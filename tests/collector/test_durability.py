"""Acknowledged means committed: ``kill -9`` at any moment loses nothing that was answered with 200."""

import os
import random
import threading
import time
from collections.abc import Callable

import httpx

from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF, RunningCollector, Start

ROUNDS = int(os.environ.get("TOKENJOULE_KILL_ROUNDS", "5"))  # 100 for the long proof
CALL = {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 8}
CLIENTS = 4
SPANS_PER_POST = 20


def test_no_acknowledged_span_is_lost_when_the_collector_is_killed(start: Start) -> None:
    chance = random.Random(2)
    acknowledged: list[int] = []
    for round_ in range(ROUNDS):
        collector = start()
        numbers = iter(range(1 + round_ * 10**9, (round_ + 1) * 10**9, SPANS_PER_POST))
        clients = [_client(collector.url, lambda numbers=numbers: next(numbers), acknowledged) for _ in range(CLIENTS)]
        time.sleep(chance.uniform(0.05, 0.6))
        collector.kill()
        for client in clients:
            client.join()
    last = start()
    stored = {int(trace_id, 16) for (trace_id,) in last.query("SELECT DISTINCT trace_id FROM spans")}
    assert last.settle() == 200
    [[requests, distinct]] = last.query("SELECT count(*), count(DISTINCT trace_id) FROM requests")
    lost = set(acknowledged) - stored
    print(f"{ROUNDS} kills: {len(acknowledged)} spans acknowledged, {len(lost)} lost, {requests} requests")
    assert requests == distinct == len(stored)
    assert len(acknowledged) > ROUNDS * SPANS_PER_POST
    assert not lost


def _client(url: str, next_number: Callable[[], int], acknowledged: list[int]) -> threading.Thread:
    """A thread that posts until the collector is gone and notes the numbers of what was acknowledged."""

    def run() -> None:
        with httpx.Client(base_url=url, timeout=10) as http:
            while True:
                first = next_number()
                numbers = range(first, first + SPANS_PER_POST)
                body = traces([span(number, attributes=CALL) for number in numbers]).SerializeToString()
                try:
                    answer = http.post("/v1/traces", content=body, headers=PROTOBUF)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acknowledged.extend(numbers)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_clean_stop_commits_and_exits_with_zero(start: Start) -> None:
    first = start()
    assert first.post("/v1/traces", traces([span(5)])).status_code == 200
    assert first.stop() == 0
    assert start().query("SELECT trace_id FROM spans") == [[f"{5:032x}"]]


def test_stopping_under_load_ends_soon_and_answers_or_refuses_every_request(start: Start) -> None:
    collector: RunningCollector = start()
    acknowledged: list[int] = []
    numbers = iter(range(1, 10**9, SPANS_PER_POST))
    clients = [_client(collector.url, lambda: next(numbers), acknowledged) for _ in range(CLIENTS)]
    time.sleep(0.5)
    began_s = time.monotonic()
    assert collector.stop() == 0
    assert time.monotonic() - began_s < 15
    for client in clients:
        client.join()
    stored = {int(trace_id, 16) for (trace_id,) in start().query("SELECT DISTINCT trace_id FROM spans")}
    assert set(acknowledged) <= stored
