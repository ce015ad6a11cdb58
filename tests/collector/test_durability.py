"""Acknowledged means on disk: neither ``kill -9`` at any moment nor a bad log loses what was answered with 200."""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

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


def test_what_an_unreadable_log_held_is_stored_again_from_the_spool(start: Start, tmp_path: Path) -> None:
    first = start()
    for number in range(1, 60, 2):
        body = traces([span(number, attributes=CALL), span(number + 1, attributes=CALL)])
        assert first.post("/v1/traces", body).status_code == 200
        if number % 10 == 1:  # a transaction of its own
            assert first.query("SELECT count(*) FROM spans") == [[number + 1]]
    run = {"rows": [{"run_id": "r1", "kind": "load", "status": "started"}]}
    assert first.http.post("/v1/records/runs", json=run).json() == {"accepted": 1}
    first.kill()
    log = tmp_path / "data" / "tokenjoule.duckdb.wal"
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 3 :] = b"\xff" * (len(damaged) - len(damaged) // 3)
    log.write_bytes(damaged)
    second = start()
    assert list((tmp_path / "data").glob("*.wal.unreadable-*"))
    assert second.query("SELECT count(*), count(DISTINCT trace_id) FROM spans") == [[60, 60]]
    assert second.query("SELECT run_id FROM runs") == [["r1"]]
    assert second.settle() == 200
    assert second.query("SELECT count(*) FROM requests") == [[60]]


def test_the_tail_that_a_kill_tore_is_cut_at_the_last_whole_record(start: Start, tmp_path: Path) -> None:
    first = start()
    for number in (1, 2, 3):
        assert first.post("/v1/traces", traces([span(number)])).status_code == 200
    first.kill()
    segment = max((tmp_path / "data" / "spool").glob("*.spool"))
    whole = segment.read_bytes()
    segment.write_bytes(whole + whole[8:60])
    second = start()
    assert second.query("SELECT count(*), count(DISTINCT trace_id) FROM spans") == [[3, 3]]
    assert "where the last whole record ends" in second.log.read_text()
    assert second.post("/v1/traces", traces([span(4)])).status_code == 200
    assert second.stop() == 0
    assert list((tmp_path / "data" / "spool").glob("*.spool")) == []
    assert start().query("SELECT count(*) FROM spans") == [[4]]


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
