"""The OpenTelemetry SDK's own exporters talk to the collector."""

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from tests.collector.running_collector import RunningCollector

RESOURCE = Resource.create({"service.name": "sdk", "tokenjoule.engine": "scout"})


def test_spans_of_the_sdk_arrive_with_their_parents(collector: RunningCollector) -> None:
    provider = TracerProvider(resource=RESOURCE)
    exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("chat scout", kind=SpanKind.SERVER) as outer:
        outer.set_attributes({"tokenjoule.role": "gateway", "tokenjoule.tenant": "library"})
        with tracer.start_as_current_span("llm_request", kind=SpanKind.SERVER) as inner:
            inner.set_attributes({"tokenjoule.role": "engine", "gen_ai.usage.output_tokens": 5})
    provider.shutdown()
    assert collector.query(
        "SELECT child.output_tokens, child.engine, parent.tenant FROM spans child JOIN spans parent"
        " ON child.parent_span_id = parent.span_id WHERE child.service = 'sdk'"
    ) == [[5, "scout", "library"]]


def test_counters_of_the_sdk_arrive_with_their_engine(collector: RunningCollector) -> None:
    exporter = OTLPMetricExporter(f"{collector.url}/v1/metrics")
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 60_000)], resource=RESOURCE)
    provider.get_meter("tests").create_counter("tokenjoule.engine.steps", "{step}").add(3)
    provider.shutdown()
    assert collector.query(
        "SELECT value, engine, kind, temporality FROM metric_points WHERE metric = 'tokenjoule.engine.steps'"
    ) == [[3.0, "scout", "sum", "cumulative"]]
