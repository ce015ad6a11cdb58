"""What the serving rooms share of OpenTelemetry."""

import time

import pytest
from opentelemetry import trace

from serving import telemetry
from tests.serving.otlp_sink import WAIT_S, Sink

UNSAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}


def test_a_callers_unsampled_trace_is_recorded_all_the_same() -> None:
    started = telemetry.start("http://127.0.0.1:9", "test", "test")
    span = started.tracer.start_span("call", context=telemetry.extract_context(UNSAMPLED))
    assert span.is_recording()
    assert span.get_span_context().trace_id == 0x0AF7651916CD43DD8448EB211C80319C


def test_without_an_endpoint_nothing_is_recorded() -> None:
    assert not telemetry.start(None, "test", "test").tracer.start_span("call").is_recording()
    assert trace.get_current_span().is_recording() is False


def test_counters_are_reported_when_asked_and_not_only_after_an_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader must see that they stood at 0 before any work: what the first export says is a difference then."""
    monkeypatch.setattr(telemetry, "EXPORT_INTERVAL_S", 3600.0)
    sink = Sink()
    try:
        started = telemetry.start(sink.url, "test", "test")
        started.meter.create_observable_counter("steps", [lambda _: [telemetry.Observation(0)]])
        started.report()
        deadline_s = time.monotonic() + WAIT_S
        while not sink.points and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert sink.points == [{"steps": 0.0}]
        started.shutdown()
    finally:
        sink.stop()
    telemetry.start(None, "test", "test").report()
