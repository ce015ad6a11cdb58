"""Spans against a sink in a process of its own; here the interpreter is not patched, so threads are threads."""

import time

from loadgen.exchange import Exchange
from loadgen.plan import PlannedRequest
from loadgen.telemetry import Labels, Telemetry
from tests.loadgen.loadgen_stub import Stub

LABELS = Labels("run-1", "steady_chat", "a")
REQUEST = PlannedRequest(at_s=0.0, body=b"{}", model="auto", stream=True)


def emit(telemetry: Telemetry, error: str | None = None) -> None:
    unix_ns, now_ns = time.time_ns(), time.perf_counter_ns()
    exchange = Exchange(REQUEST, now_ns - 2_000_000, now_ns, unix_ns, end_ns=now_ns + 500_000_000, error=error)
    exchange.content_ns = [now_ns + 100_000_000, now_ns + 110_000_000, now_ns + 130_000_000]
    telemetry.begin(REQUEST, unix_ns).end(exchange)


def test_a_span_has_the_times_of_the_stopwatch(sink: Stub) -> None:
    telemetry = Telemetry(sink.url, LABELS)
    emit(telemetry)
    assert telemetry.shutdown() == 0
    (span,) = sink.seen()["spans"]
    assert span["end"] - span["start"] == 500_000_000
    assert span["attributes"]["gen_ai.response.time_to_first_chunk"] == 0.1
    assert span["attributes"]["tokenjoule.itl_s"] == [0.01, 0.02]
    assert span["attributes"]["tokenjoule.load.lag_s"] == 0.002
    assert "error.type" not in span["attributes"]


def test_what_the_collector_refuses_is_sent_again_before_the_end(sink: Stub) -> None:
    telemetry = Telemetry(f"{sink.url}/moody", LABELS)
    for _ in range(40):
        emit(telemetry, error="timeout")
    assert telemetry.shutdown() == 0
    seen = sink.seen()
    assert len(seen["moods"]) == 2
    assert len(seen["spans"]) == 40
    assert {span["attributes"]["error.type"] for span in seen["spans"]} == {"timeout"}


def test_without_a_collector_nothing_is_recorded_and_no_header_is_sent() -> None:
    telemetry = Telemetry(None, LABELS)
    assert telemetry.begin(REQUEST, time.time_ns()).headers == {}
    emit(telemetry)
    assert telemetry.shutdown() == 0
