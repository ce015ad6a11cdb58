"""Stands before a collector: passes OTLP on and keeps a copy from which machine and source paths are taken out."""

import gzip
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PRIVATE = ("host.", "process.", "os.", "code.", "net.host", "telemetry.auto")
SOURCE_PATH = re.compile(r"(?<=File \")/[^\"]*/(?=(site-packages|python3\.\d+|emitters)/)")


class Recorder:
    """The address to send to, and what was sent there."""

    def __init__(self, collector: str) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                headers = {"content-type": self.headers["content-type"]}
                request = urllib.request.Request(f"{collector}{self.path}", body, headers)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    content = answer.read()
                bodies.append(body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def write(self, directory: Path) -> None:
        """``NN.pb``, one per body, without what tells of the machine that sent it."""
        directory.mkdir(parents=True, exist_ok=True)
        for number, body in enumerate(self.bodies):
            request = ExportTraceServiceRequest.FromString(body)
            for resource_spans in request.resource_spans:
                _neutralise(resource_spans.resource.attributes)
                for span in (span for scope in resource_spans.scope_spans for span in scope.spans):
                    _neutralise(span.attributes)
                    for event in span.events:
                        _neutralise(event.attributes)
            (directory / f"{number:02}.pb").write_bytes(request.SerializeToString())


def _neutralise(attributes: Any) -> None:
    kept = [pair for pair in attributes if not pair.key.startswith(PRIVATE)]
    for pair in kept:
        if pair.value.HasField("string_value"):
            pair.value.string_value = SOURCE_PATH.sub("/opt/app/", pair.value.string_value)
    del attributes[:]
    attributes.extend(kept)


@contextmanager
def recording(collector: str) -> Iterator[Recorder]:
    made = Recorder(collector)
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()
