"""SIGTERM ends the process with 0: long answers are cut off honestly, and their spans still arrive."""

import threading
from pathlib import Path

import httpx

from tests.serving.engine.conftest import MODEL, launch
from tests.serving.otlp_sink import Sink


def test_sigterm_cancels_what_does_not_finish_and_flushes_telemetry(weights: Path, sink: Sink, tmp_path: Path) -> None:
    running = launch(tmp_path, weights, sink)
    body = {"model": MODEL, "prompt": "the", "max_tokens": 8000, "ignore_eos": True, "stream": True}
    lines: list[str] = []
    begun = threading.Event()

    def listen() -> None:
        headers = {"X-Request-Id": "cut-off"}
        with httpx.stream("POST", f"{running.url}/v1/completions", json=body, headers=headers, timeout=60) as response:
            for line in response.iter_lines():
                lines.append(line)
                begun.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert begun.wait(20)
    running.process.terminate()
    assert running.process.wait(30) == 0
    listener.join()
    running.client.close()
    assert running.process.stdout is not None
    assert running.process.stdout.read() == "", "one line on standard output, the ready line"
    running.process.stdout.close()
    told = [line for line in lines if line]
    assert told[-1] == "data: [DONE]"
    assert '"code":"cancelled"' in told[-2]
    assert sink.span("cmpl-cut-off").attributes["tokenjoule.outcome"] == "cancelled"
