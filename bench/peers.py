"""Phoenix and MLflow as peers of ingestion, run from the virtual environment that ``TOKENJOULE_BENCH_PEERS`` names.

Their durable rate counts rows in their own SQLite files: Phoenix acknowledges before it has stored. What is not stored
in ``STORED_WITHIN_S`` does not count, and that time does.
"""

import http.client
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.spans import Requests, post_all
from tokenjoule.configuration import free_port

VARIABLE = "TOKENJOULE_BENCH_PEERS"
POSTS = 4
STARTED_WITHIN_S, STORED_WITHIN_S = 300.0, 180.0


@dataclass(frozen=True, slots=True)
class Peer:
    """How a peer is started, where it keeps spans, and what its requests need."""

    program: str
    command: Callable[[int, Path], list[str]]
    environment: Callable[[int, Path], dict[str, str]]
    database: str
    headers: dict[str, str] = field(default_factory=dict)


PEERS: Mapping[str, Peer] = {
    "phoenix": Peer(
        "phoenix",
        lambda _port, _folder: ["serve"],
        lambda port, folder: {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        "phoenix.db",
    ),
    "mlflow": Peer(
        "mlflow",
        lambda port, folder: [
            *("server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "art")),
        ],
        lambda _port, _folder: {"MLFLOW_DISABLE_TELEMETRY": "true"},
        "mlflow.db",
        {"x-mlflow-experiment-id": "0"},
    ),
}


def rates(requests: Requests) -> dict[str, float | str]:
    """Durable spans per second by peer, or why there is no figure."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return dict.fromkeys(PEERS, f"missing: name a virtual environment with it in {VARIABLE}")
    return {name: _rate(peer, Path(folder) / "bin" / peer.program, requests) for name, peer in PEERS.items()}


def _rate(peer: Peer, program: Path, requests: Requests) -> float | str:
    if not program.exists():
        return f"missing: not installed in {VARIABLE}"
    with tempfile.TemporaryDirectory() as name, _running(peer, program, Path(name)) as port:
        database = Path(name) / peer.database
        if not _within(STARTED_WITHIN_S, lambda: _answers(port)):
            return f"did not start within {STARTED_WITHIN_S:g} s"
        expected = POSTS * requests.count
        began = time.perf_counter()
        post_all(port, requests.take(POSTS), headers=peer.headers)
        _within(STORED_WITHIN_S, lambda: _rows(database) >= expected)
        stored, elapsed = _rows(database), time.perf_counter() - began
        return stored / elapsed if stored else f"nothing stored after {STORED_WITHIN_S:g} s"


@contextmanager
def _running(peer: Peer, program: Path, folder: Path) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [str(program), *peer.command(port, folder)],
        env={**os.environ, **peer.environment(port, folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _rows(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not created yet, or being written
