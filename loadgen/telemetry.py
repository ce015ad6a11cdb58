"""What the client saw, as OTLP spans ``chat {model}`` with explicit times; the server's spans hang below them.

The only module of ``loadgen`` that imports the OpenTelemetry SDK. Without an endpoint nothing is recorded.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from conventions import attributes
from loadgen.exchange import Exchange
from loadgen.plan import PlannedRequest

SERVICE: Final = "tokenjoule-loadgen"
QUEUE_SPANS: Final = 262_144  # more than a run may send by default: no span is dropped while the collector is slow
BATCH_SPANS: Final = 16  # encoding stops every stopwatch: 0.12 ms per span with 50 gaps, so 2 ms per batch
SPAN_DELAY_S: Final = 0.2
RESEND_S: Final = 20.0  # at the end, for a collector that was away and came back
RESEND_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Labels:
    """The run that a span belongs to."""

    run_id: str
    scenario: str
    arm: str | None = None


class Call:
    """The span of one request, open while it runs."""

    def __init__(self, span: trace.Span, labels: Labels) -> None:
        self._span = span
        self._labels = labels

    @property
    def headers(self) -> dict[str, str]:
        """``traceparent`` of this span; empty when nothing is recorded."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        return carrier

    def end(self, exchange: Exchange) -> None:
        """Write down the finished ``exchange`` and close the span at the time it ended."""
        known = {name: value for name, value in _values(exchange, self._labels).items() if value is not None}
        self._span.set_attributes(known)
        if exchange.error is not None:
            self._span.set_status(Status(StatusCode.ERROR, exchange.error))
        self._span.end(exchange.sent_unix_ns + exchange.end_ns - exchange.sent_ns)


class Telemetry:
    """Spans of one run to ``endpoint`` (``http://host:port``, the path is added), or to nowhere when it is None."""

    def __init__(self, endpoint: str | None, labels: Labels, token: str | None = None) -> None:
        self._labels = labels
        self._exporter: _Persistent | None = None
        self._provider: TracerProvider | None = None
        self._num_spans = 0
        self._tracer: trace.Tracer = trace.NoOpTracer()
        if endpoint is not None:
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            self._exporter = _Persistent(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", headers=headers))
            self._provider = _provider(self._exporter, labels.run_id)
            self._tracer = self._provider.get_tracer(SERVICE)

    def begin(self, request: PlannedRequest, sent_unix_ns: int) -> Call:
        """Open the span of a request that is about to be sent."""
        self._num_spans += 1
        span = self._tracer.start_span(f"chat {request.model}", kind=SpanKind.CLIENT, start_time=sent_unix_ns)
        return Call(span, self._labels)

    def shutdown(self) -> int:
        """Send what is queued and stop; returns the number of spans that the collector did not acknowledge."""
        if self._provider is None or self._exporter is None:
            return 0
        self._provider.shutdown()
        return self._num_spans - self._exporter.num_acknowledged


class _Persistent(SpanExporter):
    """Passes batches on, keeps those that were refused, and sends them again before the end.

    The SDK throws a refused batch away, and a lost span is a request that the store never counts. A batch whose
    acknowledgement got lost arrives twice; the collector knows spans by their id.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._refused: deque[Sequence[ReadableSpan]] = deque()
        self.num_acknowledged = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.num_acknowledged += len(spans)
        else:
            self._refused.append(spans)
        return result

    def shutdown(self) -> None:
        give_up_s = time.monotonic() + RESEND_S
        while self._refused and time.monotonic() < give_up_s:
            if self.export(self._refused.popleft()) is not SpanExportResult.SUCCESS:
                time.sleep(RESEND_PAUSE_S)
        self._inner.shutdown()


def _provider(exporter: SpanExporter, run_id: str) -> TracerProvider:
    resource = Resource.create(
        {
            attributes.SERVICE_NAME: SERVICE,
            attributes.SERVICE_INSTANCE: run_id,
            attributes.PROCESS_PID: os.getpid(),
        }
    )
    # ALWAYS_ON by name: a sampler from the environment would make spans, and so requests, disappear.
    provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=QUEUE_SPANS,
            max_export_batch_size=BATCH_SPANS,
            schedule_delay_millis=int(SPAN_DELAY_S * 1000),
        )
    )
    return provider


def _values(exchange: Exchange, labels: Labels) -> dict[str, AttributeValue | None]:
    request = exchange.request
    return {
        attributes.ROLE: "client",
        attributes.OPERATION: "chat",
        attributes.RUN_ID: labels.run_id,
        attributes.RUN_ARM: labels.arm,
        attributes.RUN_SCENARIO: labels.scenario,
        attributes.REQUEST_MODEL: request.model,
        attributes.REQUEST_STREAM: request.stream,
        attributes.REQUEST_MAX_TOKENS: request.max_tokens,
        attributes.RESPONSE_ID: exchange.response_id,
        attributes.RESPONSE_MODEL: exchange.response_model,
        attributes.FINISH_REASONS: [exchange.finish_reason] if exchange.finish_reason else None,
        attributes.INPUT_TOKENS: exchange.input_tokens,
        attributes.OUTPUT_TOKENS: exchange.output_tokens,
        attributes.CACHE_READ_TOKENS: exchange.cached_tokens,
        attributes.TIME_TO_FIRST_CHUNK: exchange.ttft_s,
        attributes.ITL_S: exchange.itl_s or None,
        attributes.SCHEDULED_LAG_S: exchange.lag_s,
        attributes.FIRST_BYTE_S: exchange.first_byte_s,
        attributes.QUALITY_SCORE: exchange.score,
        attributes.HTTP_STATUS: exchange.status,
        attributes.ERROR_TYPE: exchange.error,
    }
