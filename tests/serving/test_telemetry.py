"""What the serving rooms share of OpenTelemetry."""

from opentelemetry import trace

from serving import telemetry

UNSAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}


def test_a_callers_unsampled_trace_is_recorded_all_the_same() -> None:
    started = telemetry.start("http://127.0.0.1:9", "test", "test")
    span = started.tracer.start_span("call", context=telemetry.extract_context(UNSAMPLED))
    assert span.is_recording()
    assert span.get_span_context().trace_id == 0x0AF7651916CD43DD8448EB211C80319C


def test_without_an_endpoint_nothing_is_recorded() -> None:
    assert not telemetry.start(None, "test", "test").tracer.start_span("call").is_recording()
    assert trace.get_current_span().is_recording() is False
