"""One trace with five sibling calls, one of them retried: five requests, six attempts."""

import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT, Running, chat, start


class Overloaded(BaseHTTPRequestHandler):
    """Healthy by its own account, and 503 for every call."""

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(503)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "2")
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def overloaded() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Overloaded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def with_an_overloaded_backend(tmp_path: Path, overloaded: str) -> Iterator[Running]:
    """Round robin over five backends of one model: four times the living engine, and one that refuses."""
    living = {"url": "http://127.0.0.1:8101", "model": "scout", "tier": "scout"}
    refusing = {**living, "url": overloaded}
    backends = [{"name": f"scout-{index}", **(refusing if index == 2 else living)} for index in range(5)]
    overrides = {
        "serving.gateway.policy": "round_robin",
        "serving.gateway.cache": "none",
        "serving.gateway.keys": {},
        "serving.gateway.backends": backends,
    }
    started = start(ROOT / "config" / "demo.toml", tmp_path, overrides)
    yield started
    started.processes.stop()


def test_five_siblings_one_retried(with_an_overloaded_backend: Running) -> None:
    trace_id, agent_span = secrets.token_hex(16), secrets.token_hex(8)
    for number in range(5):
        body = {"model": "scout", "messages": [{"role": "user", "content": f"Sort: {number} 1"}], "max_tokens": 4}
        headers = {"traceparent": f"00-{trace_id}-{agent_span}-01"}
        chat(with_an_overloaded_backend.urls["gateway"], body, headers)
    time.sleep(2.5)  # the exporters send every half second
    with_an_overloaded_backend.settle()
    requests = with_an_overloaded_backend.query("SELECT * FROM requests WHERE trace_id = $trace", trace=trace_id)
    attempts = with_an_overloaded_backend.query(
        "SELECT request_id, attempt, outcome FROM attempts WHERE request_id LIKE $trace ORDER BY ALL",
        trace=f"{trace_id}:%",
    )
    assert len(requests) == 5
    assert all(row["success"] for row in requests)
    assert len(attempts) == 6
    assert [row["outcome"] for row in attempts].count("answered") == 5
