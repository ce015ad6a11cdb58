"""The three OTLP signals: their messages, how each is decoded and what partial success looks like in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collector.batch import Batch, Refusals
from collector.points import PointDecoder
from collector.spans import SpanDecoder

LOGS_ARE_NOT_STORED = "log records are counted, not stored"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: the message of a request, its decoder, and the answer to a decoded batch."""

    name: str
    request: Callable[[], Message]
    decode: Callable[[Any, int], Batch]
    answer: Callable[[Batch], Message]


def traces(decoder: SpanDecoder) -> Signal:
    """Spans."""

    def answer(batch: Batch) -> Message:
        response = trace_service_pb2.ExportTraceServiceResponse()
        if batch.refusals.count:
            response.partial_success.rejected_spans = batch.refusals.count
            response.partial_success.error_message = batch.refusals.message("spans")
        return response

    return Signal("traces", trace_service_pb2.ExportTraceServiceRequest, decoder.decode, answer)


def metrics(decoder: PointDecoder) -> Signal:
    """Metric data points."""

    def answer(batch: Batch) -> Message:
        response = metrics_service_pb2.ExportMetricsServiceResponse()
        if batch.refusals.count:
            response.partial_success.rejected_data_points = batch.refusals.count
            response.partial_success.error_message = batch.refusals.message("data points")
        return response

    return Signal("metrics", metrics_service_pb2.ExportMetricsServiceRequest, decoder.decode, answer)


def logs() -> Signal:
    """Log records: counted. The answer says that they are not stored (a warning in OTLP's words: 0 rejected)."""

    def decode(request: Any, _received_ns: int) -> Batch:
        scopes = (scope for resource in request.resource_logs for scope in resource.scope_logs)
        return Batch({}, sum(len(scope.log_records) for scope in scopes), Refusals())

    def answer(batch: Batch) -> Message:
        response = logs_service_pb2.ExportLogsServiceResponse()
        if batch.accepted:
            response.partial_success.error_message = LOGS_ARE_NOT_STORED
        return response

    return Signal("logs", logs_service_pb2.ExportLogsServiceRequest, decode, answer)
