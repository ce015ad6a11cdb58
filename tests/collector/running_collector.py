"""Real collectors in processes of their own, on free ports, with stores of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
PROTOBUF = {"content-type": "application/x-protobuf"}
NO_PROBES = "[collector.sampler]\nprobes = []\ninterval_s = 60.0\n"


class RunningCollector:
    """A started collector: its address, and the ways to talk to it and to end it."""

    def __init__(self, config: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "collector", "--config", str(config)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        assert words[:2] == ["ready", "collector"], self.log.read_text()
        self.url = words[2]
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def post(self, path: str, message: Any, **headers: str) -> httpx.Response:
        """A protobuf message, or bytes with their own headers."""
        body = message if isinstance(message, bytes) else message.SerializeToString()
        return self.http.post(path, content=body, headers={**PROTOBUF, **headers})

    def query(self, sql: str) -> list[list[Any]]:
        answer = self.http.post("/v1/query", json={"sql": sql, "format": "json"})
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows

    def settle(self) -> int:
        return httpx.post(f"{self.url}/v1/settle", timeout=120).status_code

    def kill(self) -> None:
        """``kill -9``."""
        os.kill(self.process.pid, signal.SIGKILL)
        self._gone()

    def ended(self, within_s: float) -> int:
        """Wait until it has ended by itself; the exit code."""
        self.process.wait(within_s)
        self._gone()
        return int(self.process.returncode)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._gone()
        return int(self.process.returncode)

    def _gone(self) -> None:
        self.http.close()
        self.process.communicate(timeout=30)


Start = Callable[..., RunningCollector]


@contextmanager
def started(directory: Path) -> Iterator[Start]:
    running: list[RunningCollector] = []

    def start(
        extra: str = "", sampler: str = NO_PROBES, environment: Mapping[str, str] | None = None
    ) -> RunningCollector:
        config = directory / "collector.toml"
        config.write_text(f'[collector]\ndata = "{directory / "data"}"\nport = 0\n{extra}\n{sampler}')
        running.append(RunningCollector(config, environment))
        return running[-1]

    try:
        yield start
    finally:
        for collector in running:
            collector.stop()
