"""A caller who leaves stops the work within a step, streaming or not; a full queue says when to come back."""

import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest

from tests.serving.engine.conftest import MAX_QUEUED, MAX_SEQS, MODEL, Running

LONG = {"model": MODEL, "prompt": "the archive", "max_tokens": 8000, "ignore_eos": True, "temperature": 0}


def open_call(server: Running, request_id: str, **fields: Any) -> socket.socket:
    """A connection on which a long generation has been asked for."""
    url = httpx.URL(server.url)
    body = json.dumps({**LONG, **fields}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((url.host, url.port or 0))
    connection.sendall(head.encode() + body)
    return connection


def wait_for(server: Running, name: str, value: float, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (now := server.metrics()[name]) != value:
        assert time.monotonic() < deadline, f"{name} is {now}, not {value}"
        time.sleep(0.005)


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_cancels_the_work_and_frees_the_slot(server: Running, stream: bool) -> None:
    wait_for(server, "tokenjoule_engine_running", 0)
    before = server.metrics()
    request_id = f"leaver-{stream}"
    connection = open_call(server, request_id, stream=stream)
    wait_for(server, "tokenjoule_engine_running", 1)
    connection.close()
    wait_for(server, "tokenjoule_engine_running", 0)
    after = server.metrics()
    assert after["tokenjoule_engine_kv_usage"] == 0
    assert after["tokenjoule_engine_aborted_total"] == before["tokenjoule_engine_aborted_total"] + 1
    generated = after["tokenjoule_engine_generated_tokens_total"] - before["tokenjoule_engine_generated_tokens_total"]
    assert generated < 8000
    span = server.sink.span(f"cmpl-{request_id}")
    assert span.is_error
    assert span.attributes["tokenjoule.outcome"] == "cancelled"
    assert span.attributes["error.type"] == "cancelled"
    assert span.attributes["gen_ai.usage.output_tokens"] == generated
    assert "gen_ai.response.finish_reasons" not in span.attributes


def test_a_queued_caller_who_leaves_is_forgotten(server: Running) -> None:
    running = [open_call(server, f"busy-{number}") for number in range(MAX_SEQS)]
    wait_for(server, "tokenjoule_engine_running", MAX_SEQS)
    queued = open_call(server, "queued")
    wait_for(server, "tokenjoule_engine_waiting", 1)
    queued.close()
    wait_for(server, "tokenjoule_engine_waiting", 0)
    for connection in running:
        connection.close()
    wait_for(server, "tokenjoule_engine_running", 0)
    span = server.sink.span("cmpl-queued")
    assert span.attributes["gen_ai.usage.output_tokens"] == 0
    assert "gen_ai.latency.time_in_queue" not in span.attributes


def test_a_full_queue_answers_503_with_retry_after(server: Running) -> None:
    connections = [open_call(server, f"crowd-{number}") for number in range(MAX_SEQS + MAX_QUEUED)]
    wait_for(server, "tokenjoule_engine_waiting", MAX_QUEUED)
    response = server.client.post("/v1/completions", json=LONG, headers={"X-Request-Id": "late"})
    for connection in connections:
        connection.close()
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "queue_full"
    span = server.sink.span("cmpl-late")
    assert (span.attributes["tokenjoule.outcome"], span.attributes["error.type"]) == ("refused", "queue_full")
    wait_for(server, "tokenjoule_engine_running", 0)


def test_sixteen_callers_at_once_all_get_their_own_answer(server: Running) -> None:
    """In two waves of eight, as many as slots and queue hold."""
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        body = {"model": MODEL, "prompt": f"the {number}", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
        answers[number] = httpx.post(f"{server.url}/v1/completions", json=body, timeout=30).json()["choices"][0]["text"]

    for wave in (range(8), range(8, 16)):
        threads = [threading.Thread(target=ask, args=(number,)) for number in wave]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    together = dict(answers)
    ask(3)
    ask(11)
    assert (answers[3], answers[11]) == (together[3], together[11])
    assert len(together) == 16
