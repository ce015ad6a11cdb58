"""An OTLP/HTTP receiver of its own port that keeps what it is sent, decoded."""

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}


class Heard:
    """Everything that was received."""

    def __init__(self) -> None:
        self.url = ""
        self.metrics: list[Any] = []
        self.traces: list[Any] = []

    def last(self, job_id: str) -> dict[str, float]:
        """The newest value of each metric of a job."""
        found: dict[str, float] = {}
        for resource in self._of(job_id):
            for metric in resource.scope_metrics[0].metrics:
                points = getattr(metric, metric.WhichOneof("data")).data_points
                found[metric.name] = points[0].as_double if points[0].HasField("as_double") else points[0].as_int
        return found

    def resource(self, job_id: str) -> dict[str, Any]:
        return attributes(self._of(job_id)[-1].resource.attributes)

    def ending(self, job_id: str) -> dict[str, Any]:
        """The attributes of the point that ends a job."""
        return next(
            attributes(metric.gauge.data_points[0].attributes)
            for resource in self._of(job_id)
            for metric in resource.scope_metrics[0].metrics
            if metric.name == "tokenjoule.job.ended"
        )

    @property
    def spans(self) -> list[Any]:
        return [
            span for trace in self.traces for one in trace.resource_spans for span in one.scope_spans[0].spans
        ]  # fmt: skip

    def _of(self, job_id: str) -> list[Any]:
        every = [resource for message in self.metrics for resource in message.resource_metrics]
        return [one for one in every if attributes(one.resource.attributes)["tokenjoule.job.id"] == job_id]


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def listening() -> Iterator[Heard]:
    heard = Heard()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = zlib.decompress(body, wbits=31)
            message = KINDS[self.path].FromString(body)
            (heard.metrics if self.path == "/v1/metrics" else heard.traces).append(message)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_port}"
    yield heard
    server.shutdown()
    server.server_close()
