"""Backends that refuse, fail, stall and break off, and clients that leave: what is tried again and what is recorded."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.gateway.gateway_process import MESSAGES, Running, Trace, backend, settings
from tests.serving.gateway.openai_stub import Behaviour, Stub
from tests.serving.otlp_sink import Sink, SpanSeen

STREAM = {"model": "pair", "messages": MESSAGES, "stream": True}


@pytest.fixture(scope="module")
def shared_gateway(start: Callable[[str], Running], two_stubs: tuple[Stub, Stub], sink: Sink) -> Running:
    alone = backend("alone", two_stubs[0].url, "solo", "single")
    return start(settings(two_stubs, backends=alone, otlp_endpoint=sink.url, read_timeout_s=0.5, health_interval_s=0.3))


@pytest.fixture
def gateway(shared_gateway: Running, stubs: tuple[Stub, Stub]) -> Running:
    """The module's gateway once it knows that both backends are up."""
    _wait_for_health(shared_gateway, "ok")
    return shared_gateway


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_refusal_is_tried_on_another_backend(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace, status: int
) -> None:
    stubs[0].behaviour = Behaviour(status=status)
    response = gateway.chat(stream=True, headers=trace.headers)
    assert response.status_code == 200
    assert response.headers["x-tokenjoule-backend"] == "second"
    first, second, call = _one_call_two_attempts(sink, trace)
    assert first.attributes["error.type"] == str(status)
    assert first.attributes["tokenjoule.outcome"] == ("refused" if status in (429, 503) else "failed")
    assert second.attributes["tokenjoule.outcome"] == "answered"
    assert call.attributes["tokenjoule.engine"] == "second"
    assert "error.type" not in call.attributes
    assert {stub.seen[0].headers["x-request-id"][-2:] for stub in stubs} == {"-1", "-2"}


def test_a_dead_backend_is_left_for_another_one_and_used_again_when_it_is_back(
    start: Callable[[str], Running], stubs: tuple[Stub, Stub]
) -> None:
    stubs[0].stop()
    lively = start(settings(stubs, policy="round_robin", health_interval_s=0.3))
    _wait_for_health(lively, "degraded")
    for _ in range(4):
        assert lively.chat().headers["x-tokenjoule-backend"] == "second"
    stubs[0].start()
    _wait_for_health(lively, "ok")
    assert {lively.chat().headers["x-tokenjoule-backend"] for _ in range(4)} == {"first", "second"}


def test_a_refused_connection_is_an_attempt_of_its_own(
    start: Callable[[str], Running], stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    alone = backend("alone", stubs[0].url, "solo", "single")
    seldom = start(settings(stubs, backends=alone, otlp_endpoint=sink.url, health_interval_s=60.0))
    _wait_for_health(seldom, "ok")
    stubs[0].stop()
    assert seldom.chat(headers=trace.headers).status_code == 200
    assert str(stubs[0].port) not in seldom.chat(model="single").text
    first, second, _ = _one_call_two_attempts(sink, trace)
    assert first.attributes["error.type"] == "connection_refused"
    assert (first.attributes["tokenjoule.outcome"], second.attributes["tokenjoule.outcome"]) == ("refused", "answered")
    stubs[0].start()


def test_when_all_refuse_the_client_gets_the_last_answer(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    for stub in stubs:
        stub.behaviour = Behaviour(status=429)
    response = gateway.chat(headers=trace.headers)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert response.json()["error"]["message"] == "stub says no"
    *_, call = _one_call_two_attempts(sink, trace)
    assert call.attributes["error.type"] == "429"
    assert call.attributes["http.response.status_code"] == 429


@pytest.mark.parametrize(("status", "told"), [(400, 400), (500, 500), (401, 502)])
def test_other_errors_are_not_tried_again(gateway: Running, stubs: tuple[Stub, Stub], status: int, told: int) -> None:
    stubs[0].behaviour = Behaviour(status=status)
    assert gateway.chat().status_code == told
    assert len(stubs[1].seen) == 0


def test_a_backend_that_is_silent_is_a_gateway_timeout(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour = Behaviour(delay_s=3.0)
    response = gateway.chat(model="single", headers=trace.headers)
    assert response.status_code == 504
    assert "sent nothing for 0.5 s" in response.json()["error"]["message"]
    attempt, call = _by_role(sink, trace, 2)
    assert attempt.attributes["error.type"] == call.attributes["error.type"] == "read_timeout"
    _wait_until(lambda: stubs[0].seen[0].cancelled_s is not None)


def test_nothing_is_tried_again_after_the_first_byte(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour = Behaviour(break_after=2)
    response = gateway.chat(stream=True, headers=trace.headers)
    events = response.content.strip().split(b"\n\n")
    assert len(events) == 3
    assert json.loads(events[-1].removeprefix(b"data: "))["error"]["code"] == "connection_lost"
    attempt, call = _by_role(sink, trace, 2)
    assert attempt.attributes["tokenjoule.outcome"] == call.attributes["tokenjoule.outcome"] == "failed"
    assert len(stubs[1].seen) == 0


def test_a_stream_without_a_finish_reason_is_a_failure(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour = Behaviour(raw_stream=b'data: {"choices": [{"index": 0, "delta": {"content": "It"}}]}\n\n')
    assert b'"error"' in gateway.chat(stream=True, headers=trace.headers).content
    _, call = _by_role(sink, trace, 2)
    assert call.attributes["error.type"] == "connection_lost"


def test_an_error_inside_a_stream_is_passed_on_and_recorded(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    raw = b'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n'
    stubs[0].behaviour = Behaviour(raw_stream=raw)
    assert gateway.chat(stream=True, headers=trace.headers).content == raw
    _, call = _by_role(sink, trace, 2)
    assert call.attributes["error.type"] == "upstream_error"


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_cancels_the_work_at_once(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace, streamed: bool
) -> None:
    stubs[0].behaviour = Behaviour(gap_s=0.2, words=("again",) * 100) if streamed else Behaviour(delay_s=0.45)
    left_s = _leave_early(gateway, trace, streamed)
    _wait_until(lambda: stubs[0].seen[0].cancelled_s is not None)
    assert (stubs[0].seen[0].cancelled_s or 0) - left_s < 0.3
    attempt, call = _by_role(sink, trace, 2)
    for span in (attempt, call):
        assert (span.attributes["error.type"], span.attributes["tokenjoule.outcome"]) == ("cancelled", "cancelled")
    assert len(stubs[1].seen) == 0
    assert gateway.client.get("/health").json()["backends"][0]["in_flight"] == 0


def test_a_signal_ends_the_gateway_cleanly_with_its_telemetry_sent(
    start: Callable[[str], Running], stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    leaving = start(settings(stubs, otlp_endpoint=sink.url))
    leaving.chat(headers=trace.headers)
    began_s = time.monotonic()
    assert leaving.stop() == 0
    assert time.monotonic() - began_s < 5
    assert len(sink.spans(trace.trace_id, 2, timeout_s=0.1)) == 2


def test_a_signal_right_after_the_ready_line_is_not_lost(
    start: Callable[[str], Running], stubs: tuple[Stub, Stub]
) -> None:
    assert start(settings(stubs)).stop() == 0


def test_a_signal_ends_open_streams_after_the_grace_time_and_records_them(
    start: Callable[[str], Running], stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    leaving = start(settings(stubs, otlp_endpoint=sink.url, shutdown_grace_s=1.0))
    stubs[0].behaviour = Behaviour(gap_s=0.2, words=("again",) * 100)
    with leaving.client.stream("POST", "/v1/chat/completions", json=STREAM, headers=trace.headers) as response:
        next(response.iter_raw())
        leaving.process.terminate()
        assert leaving.process.wait(10) == 0
    _, call = _by_role(sink, trace, 2)
    assert call.attributes["tokenjoule.outcome"] == "cancelled"


def _leave_early(gateway: Running, trace: Trace, streamed: bool) -> float:
    """Send a request over a socket, wait for it to arrive, close; the monotonic second of the closing."""
    body = json.dumps({"model": "pair", "messages": MESSAGES, "stream": streamed}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + f"traceparent: {trace.headers['traceparent']}\r\n\r\n".encode() + body)
        if streamed:
            assert connection.recv(100)
        else:
            time.sleep(0.15)
    return time.perf_counter()


def _one_call_two_attempts(sink: Sink, trace: Trace) -> tuple[SpanSeen, SpanSeen, SpanSeen]:
    spans = sink.spans(trace.trace_id, 3)
    attempts = sorted((span for span in spans if span.role == "attempt"), key=_number)
    (call,) = [span for span in spans if span.role == "gateway"]
    assert [_number(attempt) for attempt in attempts] == [1, 2]
    assert {attempt.parent_id for attempt in attempts} == {call.span_id}
    return attempts[0], attempts[1], call


def _number(span: SpanSeen) -> int:
    return int(span.attributes["tokenjoule.attempt"])


def _by_role(sink: Sink, trace: Trace, count: int) -> list[SpanSeen]:
    return sorted(sink.spans(trace.trace_id, count), key=lambda span: str(span.role))


def _wait_for_health(gateway: Running, status: str) -> None:
    _wait_until(lambda: gateway.client.get("/health").json()["status"] == status)


def _wait_until(condition: Callable[[], Any], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
