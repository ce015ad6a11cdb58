"""OpenTelemetry for the serving processes: one tracer and one meter per process, exported as OTLP/HTTP protobuf.

The only module of ``serving`` that imports the OpenTelemetry SDK. Without an endpoint nothing is recorded and
nothing is exported. A span costs tens of µs, so a request has at most three (gateway, attempt, engine).
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.propagate import extract as extract_context
from opentelemetry.propagate import inject as inject_context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from conventions import attributes

__all__ = [
    "AttributeValue", "CallbackOptions", "Context", "Meter", "Observation", "Span", "SpanKind", "Status", "StatusCode",
    "Telemetry", "Tracer", "extract_context", "inject_context", "set_span_in_context", "start",
]  # fmt: skip

EXPORT_INTERVAL_S = 1.0  # engine counters once a second: attribution needs them at the edges of energy intervals
SPAN_DELAY_S = 0.5
QUEUE_SPANS = 65_536  # the SDK's default 2,048 drops spans under load, and a dropped span is energy without an owner


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What one process emits through. ``shutdown`` flushes; call it once, last."""

    tracer: trace.Tracer
    meter: metrics.Meter
    providers: tuple[TracerProvider, MeterProvider] | None

    def report(self) -> None:
        """Send the counters as they stand, in the background.

        Before any work is taken: readers then know that they were 0 until here, and not only from the first export on.
        """
        if self.providers is not None:
            threading.Thread(target=self.providers[1].force_flush, name="first report", daemon=True).start()

    def shutdown(self) -> None:
        """Send what is queued (at most a few seconds) and stop."""
        for provider in self.providers or ():
            provider.shutdown()


def start(endpoint: str | None, service: str, instance: str, extra: Mapping[str, str] | None = None) -> Telemetry:
    """Telemetry to ``endpoint`` (``http://host:port``, paths are added), or a silent one when it is None.

    ``extra`` are further resource attributes, such as ``tokenjoule.engine``.
    """
    if endpoint is None:
        return Telemetry(trace.NoOpTracer(), metrics.NoOpMeterProvider().get_meter(service), None)
    resource = Resource.create(
        {
            attributes.SERVICE_NAME: service,
            attributes.SERVICE_INSTANCE: instance,
            attributes.PROCESS_PID: os.getpid(),
            **(extra or {}),
        }
    )
    tracers, meters = _tracer_provider(endpoint, resource), _meter_provider(endpoint, resource)
    return Telemetry(tracers.get_tracer(service), meters.get_meter(service), (tracers, meters))


def _tracer_provider(endpoint: str, resource: Resource) -> TracerProvider:
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=Compression.Gzip)
    # a caller's decision not to sample is not ours: a request without spans is energy without an owner
    provider = TracerProvider(resource=resource, shutdown_on_exit=False, sampler=ALWAYS_ON)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=int(SPAN_DELAY_S * 1000))
    )
    return provider


def _meter_provider(endpoint: str, resource: Resource) -> MeterProvider:
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", compression=Compression.Gzip)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=EXPORT_INTERVAL_S * 1000)
    return MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
