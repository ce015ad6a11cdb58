"""Real processes on free ports of this machine, read back through the public doors only."""

import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import reading
from tokenjoule import configuration, stack

ROOT = Path(__file__).parents[2]
# other people's instrumentations are there only where `make test-emitters` runs
collect_ignore = [] if "TOKENJOULE_EMITTERS_PYTHON" in os.environ else ["test_emitters.py"]


@dataclass(frozen=True, slots=True)
class Running:
    """A started stack and the addresses of its processes."""

    processes: stack.Stack
    urls: dict[str, str]
    config: Path
    directory: Path

    def query(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        with reading.open(self.urls["collector"]) as reader:
            rows: list[dict[str, Any]] = reader.query(sql, parameters or None).to_pylist()
            return rows

    def settle(self) -> None:
        post(f"{self.urls['collector']}/v1/settle", b"")


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, headers=headers or {}, method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        content: bytes = answer.read()
        return content


def chat(url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    all_headers = {"content-type": "application/json", **(headers or {})}
    answer: dict[str, Any] = json.loads(post(f"{url}/v1/chat/completions", json.dumps(body).encode(), all_headers))
    return answer


def start(config: Path, directory: Path, overrides: dict[str, Any], only: frozenset[str] | None = None) -> Running:
    overrides = {"collector.data": str(directory / "data"), **overrides}
    derived = configuration.derive(config, directory, free_ports=True, overrides=overrides)
    processes = stack.Stack(directory / "logs")
    specs = stack.specs(derived, dashboard=False, only=only)
    try:
        urls = processes.start_in_order(specs)
    except BaseException:
        processes.stop()
        raise
    return Running(processes, urls, derived, directory)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Collector, scout, expert and gateway as in config/demo.toml, without a response cache."""
    directory = tmp_path_factory.mktemp("stack")
    started = start(ROOT / "config" / "demo.toml", directory, {"serving.gateway.cache": "none"})
    yield started
    started.processes.stop()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Running]:
    """A collector alone, empty."""
    started = start(ROOT / "config" / "demo.toml", tmp_path, {}, only=frozenset({"collector"}))
    yield started
    started.processes.stop()
