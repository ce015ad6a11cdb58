"""A real OTLP/HTTP receiver that keeps spans and metric points, decoded, for the tests of the serving rooms."""

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

WAIT_S = 20.0


@dataclass(frozen=True)
class SpanSeen:
    """One span with plain Python attributes, times in nanoseconds; ``is_error``: its status says so."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]

    @property
    def role(self) -> Any:
        return self.attributes.get("tokenjoule.role")


class Sink:
    """Listens on a free port until ``stop``."""

    def __init__(self) -> None:
        self.seen: list[SpanSeen] = []
        self.points: list[dict[str, float]] = []
        self.resources: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        takers = {"/v1/traces": self._take_spans, "/v1/metrics": self._take_points}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(takers))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self, trace_id: str, count: int, timeout_s: float = WAIT_S) -> list[SpanSeen]:
        """The spans of one trace in the order of their arrival, once there are ``count``."""
        return self._await(lambda: [one for one in self.seen if one.trace_id == trace_id], count, timeout_s)

    def span(self, request_id: str) -> SpanSeen:
        """The one span of an engine's request, once it has arrived."""
        key = "gen_ai.request.id"
        found = self._await(lambda: [one for one in self.seen if one.attributes.get(key) == request_id], 1, WAIT_S)
        assert len(found) == 1
        return found[0]

    def next_points(self) -> dict[str, float]:
        """The next export of all instruments."""
        with self._changed:
            before = len(self.points)
            assert self._changed.wait_for(lambda: len(self.points) > before, WAIT_S), "no metrics arrived"
            return self.points[-1]

    def _await(self, found: Callable[[], list[SpanSeen]], count: int, timeout_s: float) -> list[SpanSeen]:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(spans := found()) < count:
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"{len(spans)} of {count} spans after {timeout_s} s: {spans}"
                self._changed.wait(left_s)
        return spans

    def _take_spans(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        spans = [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
        with self._changed:
            self.seen += map(_decoded, spans)
            self._changed.notify_all()

    def _take_points(self, body: bytes) -> None:
        request = ExportMetricsServiceRequest.FromString(body)
        with self._changed:
            for one in request.resource_metrics:
                self.resources.append(_plain(one.resource.attributes))
                metrics = [metric for scope in one.scope_metrics for metric in scope.metrics]
                self.points.append({metric.name: _number(metric) for metric in metrics})
            self._changed.notify_all()


def _handler(takers: dict[str, Callable[[bytes], None]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            takers[self.path](gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _number(metric: Any) -> float:
    """The only data point; sums must be cumulative and monotonic."""
    if metric.HasField("sum"):
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == 2
        point = metric.sum.data_points[0]
    else:
        point = metric.gauge.data_points[0]
    return float(getattr(point, point.WhichOneof("value")))


def _decoded(span: Any) -> SpanSeen:
    return SpanSeen(
        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.kind,
        span.status.code == 2, span.start_time_unix_nano, span.end_time_unix_nano, _plain(span.attributes),
    )  # fmt: skip


def _plain(attributes: Any) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)
