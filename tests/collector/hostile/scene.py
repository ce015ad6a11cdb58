"""What the long scripts share: a collector in a folder of its own, file systems to break, and what is observed."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF, RunningCollector, started

CALL = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.output_tokens": 8}
SPANS_PER_POST = 20
STORED_WITHIN_S = 900.0


def said(what: str, observed: object) -> None:
    """One observation, for whoever runs the script."""
    print(f"{what}: {observed}", flush=True)


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tokenjoule-hostile-") as made:
        yield Path(made)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own of that size, in memory; needs root."""
    if os.geteuid():
        sys.exit("mounting a small file system needs root")
    with folder() as point:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tokenjoule", str(point)], check=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", str(point)], check=True)


@contextmanager
def collector(extra: str = "", environment: dict[str, str] | None = None) -> Iterator[RunningCollector]:
    """A collector without probes."""
    with folder() as made, started(made) as start:
        yield start(extra, environment=environment)


def resident_mb(running: RunningCollector, name: str = "VmRSS") -> int:
    """Resident memory now, or its peak as ``VmHWM``."""
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


class Sender:
    """Somebody well-behaved who sends calls all the time, and remembers what was acknowledged and how long it took."""

    def __init__(self, url: str, first: int = 1) -> None:
        self.acknowledged: list[int] = []
        self.refused: list[int] = []  # status codes
        self.broken = 0  # connections
        self.latencies_s: list[float] = []
        self._numbers = iter(range(first, 1 << 60, SPANS_PER_POST))
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as http:
            while not self._ended.wait(0.02):
                numbers = range(first := next(self._numbers), first + SPANS_PER_POST)
                body = traces([span(number, attributes=CALL) for number in numbers]).SerializeToString()
                began = time.monotonic()
                try:
                    status = http.post("/v1/traces", content=body, headers=PROTOBUF).status_code
                except httpx.TransportError:
                    self.broken += 1
                    continue
                self.latencies_s.append(time.monotonic() - began)
                if status == 200:
                    self.acknowledged += numbers
                else:
                    self.refused.append(status)

    def summary(self) -> str:
        """What became of what it sent."""
        slowest = max(self.latencies_s, default=0.0)
        refused = {status: self.refused.count(status) for status in set(self.refused)}
        count = len(self.acknowledged)
        return f"{count} spans acknowledged, refused {refused}, {self.broken} broken off, slowest {slowest:.1f} s"


def lost(running: RunningCollector, acknowledged: list[int]) -> int:
    """How many acknowledged spans are not in the store once all of the spool is."""
    deadline = time.monotonic() + STORED_WITHIN_S
    while running.settle() != 200:
        assert time.monotonic() < deadline, "what was acknowledged is still not in the store"
    stored = {int(trace_id, 16) for (trace_id,) in running.query("SELECT DISTINCT trace_id FROM spans")}
    return len(set(acknowledged) - stored)
