"""One real engine process with a random model, and a sink that receives what it emits."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch

from tests.serving.engine import random_llama
from tests.serving.otlp_sink import Sink

NAME = "stub-tiny"
MODEL = "tiny"
MAX_SEQS = 4
MAX_QUEUED = 4
MAX_MODEL_LEN = 8192


@dataclass
class Running:
    """An engine process and a client for it."""

    process: "subprocess.Popen[str]"
    url: str
    client: httpx.Client
    sink: Sink

    def metrics(self) -> dict[str, float]:
        """``/metrics`` without labels."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines if "le=" not in line}


def launch(folder: Path, weights: Path, sink: Sink) -> Running:
    """Start an engine and wait for its ready line."""
    config = folder / "engine.toml"
    config.write_text(
        f'[serving.engines.{NAME}]\nweights = "{weights}"\nserved_model = "{MODEL}"\nport = 0\n'
        f"max_num_seqs = {MAX_SEQS}\nmax_queued_requests = {MAX_QUEUED}\nmax_model_len = {MAX_MODEL_LEN}\n"
        f'otlp_endpoint = "{sink.url}"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.engine", "--config", str(config), "--name", NAME],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:2] == ["ready", f"engine:{NAME}"], words
    return Running(process, words[2], httpx.Client(base_url=words[2], timeout=30), sink)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """torch's threads spin while they wait for each other: on a busy machine a test of seconds takes minutes."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama.save(tmp_path_factory.mktemp("weights"), max_position_embeddings=MAX_MODEL_LEN)


@pytest.fixture(scope="session")
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture(scope="session")
def server(weights: Path, sink: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = launch(tmp_path_factory.mktemp("engine"), weights, sink)
    yield running
    running.client.close()
    running.process.terminate()
    assert running.process.wait(15) == 0
    assert running.process.stdout is not None
    running.process.stdout.close()
