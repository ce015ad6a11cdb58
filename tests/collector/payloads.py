"""Small OTLP requests for tests."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CLIENT = Span.SpanKind.SPAN_KIND_CLIENT
SERVER = Span.SpanKind.SPAN_KIND_SERVER
INTERNAL = Span.SpanKind.SPAN_KIND_INTERNAL


def value(item: Any) -> AnyValue:
    if isinstance(item, bool):
        return AnyValue(bool_value=item)
    if isinstance(item, int):
        return AnyValue(int_value=item)
    if isinstance(item, float):
        return AnyValue(double_value=item)
    if isinstance(item, list):
        message = AnyValue()
        message.array_value.values.extend(value(part) for part in item)
        return message
    return AnyValue(string_value=item)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(item)) for key, item in attributes.items()]


def span(number: int = 1, **changes: Any) -> Span:
    """A one-second span with ids made of ``number``; ``attributes`` may be a plain dictionary."""
    attributes = changes.pop("attributes", {})
    start_ns = changes.pop("start_ns", time.time_ns() - 2_000_000_000)
    made = Span(
        trace_id=changes.pop("trace_id", number.to_bytes(16, "big")),
        span_id=changes.pop("span_id", number.to_bytes(8, "big")),
        name=changes.pop("name", "chat scout"),
        kind=changes.pop("kind", CLIENT),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=changes.pop("end_ns", start_ns + 1_000_000_000),
        **changes,
    )
    made.attributes.extend(pairs(attributes))
    return made


def traces(spans: Iterable[Span], resource: Mapping[str, Any] | None = None, scope: str = "") -> Any:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(pairs(resource or {"service.name": "tests"}))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return request


def gauge(name: str, number: float, attributes: Mapping[str, Any], resource: Mapping[str, Any] | None = None) -> Any:
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.extend(pairs(resource or {}))
    metric = resource_metrics.scope_metrics.add().metrics.add(name=name)
    point = metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=number)
    point.attributes.extend(pairs(attributes))
    return request


def counter(name: str, number: float, attributes: Mapping[str, Any], unit: str = "J", **resource: Any) -> Any:
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.extend(pairs(resource))
    metric = resource_metrics.scope_metrics.add().metrics.add(name=name, unit=unit)
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = 2
    now_ns = time.time_ns()
    point = metric.sum.data_points.add(time_unix_nano=now_ns, start_time_unix_nano=now_ns - 10**9, as_double=number)
    point.attributes.extend(pairs(attributes))
    return request
