"""The three OTLP signals: their messages, how each is decoded and what partial success looks like in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collector.decoding.alike.together import Received, Together
from collector.decoding.batch import Batch
from collector.decoding.columns import Rows
from collector.decoding.logrecords import LogDecoder
from collector.decoding.points import PointDecoder
from collector.decoding.spans import SpanDecoder
from collector.normalising.values import Renderer

PASSED_OVER: Final = (
    "{} log records counted, not stored: only those with a trace and a span id that give an error.type or "
    "exception.type, a finish reason or a first token are"
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: the messages of a request and its answer, its decoder, and what one of its items is called."""

    name: str
    request: Callable[[], Message]
    response: Callable[[], Any]
    rejected: str  # the field of partial success that counts refused items
    noun: str
    decode: Callable[[Any, int, Renderer, Rows | None], Batch]
    check: Callable[[Any, int, Renderer], Batch] | None = None  # the counts of ``decode`` without its rows
    together: Callable[[Sequence[Received], Rows], list[Received]] | None = None  # decodes many; gives what it leaves

    def answer(self, batch: Batch) -> Message:
        """Empty if all is stored; else how many items were refused and why, and a warning if some are passed over."""
        response = self.response()
        partial = response.partial_success
        said = [batch.refusals.message(self.noun)] if batch.refusals.count else []
        said += [PASSED_OVER.format(batch.passed_over)] if batch.passed_over else []
        if said:
            setattr(partial, self.rejected, batch.refusals.count)
            partial.error_message = "; ".join(said)
        answered: Message = response
        return answered


def traces(decoder: SpanDecoder) -> Signal:
    """Spans."""
    service = trace_service_pb2
    messages = service.ExportTraceServiceRequest, service.ExportTraceServiceResponse
    return Signal("traces", *messages, "rejected_spans", "spans", decoder.decode, decoder.check, Together(decoder).rows)


def metrics(decoder: PointDecoder) -> Signal:
    """Metric data points."""
    service = metrics_service_pb2
    messages = service.ExportMetricsServiceRequest, service.ExportMetricsServiceResponse
    return Signal("metrics", *messages, "rejected_data_points", "data points", decoder.decode)


def logs(decoder: LogDecoder) -> Signal:
    """Log records."""
    service = logs_service_pb2
    messages = service.ExportLogsServiceRequest, service.ExportLogsServiceResponse
    return Signal("logs", *messages, "rejected_log_records", "log records", decoder.decode)
