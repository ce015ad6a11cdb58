"""Engines as servers: output tokens per CPU second of the whole process tree, and what a client waits for.

Ours and stock vLLM answer the same ``/v1/completions`` requests: token ids in, a fixed number of greedy tokens out,
over streams, all at once. CPU seconds are those of the server's processes, HTTP included; the client's are in nobody's.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import tomli_w

from conventions.processes import await_end
from serving.backends import vllm
from tokenjoule.configuration import free_port

VARIABLE = "TOKENJOULE_VLLM_PYTHON"
STOP_WITHIN_S = 60.0
START_WITHIN_S = 900.0  # importing vLLM on a busy machine takes minutes
NAME = "bench"
Prompts = list[list[int]]
Figures = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Server:
    """A started server."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds of its processes so far."""
        root = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))


@dataclass(frozen=True, slots=True)
class Round:
    """All prompts at once: tokens per CPU second, and every TTFT and gap between tokens in seconds."""

    rate: float
    ttft_s: list[float]
    gaps_s: list[float]


def compared(weights: Path, prompts_of: Mapping[int, Prompts], num_output: int, repeats: int) -> Figures:
    """Every server at every concurrency, in turn; vLLM's figures say why there are none where it is not there."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        starts: dict[str, Callable[[], Iterator[Server]]] = {
            "served": lambda: _ours(weights, Path(folder), "float32"),
            "served_bf16": lambda: _ours(weights, Path(folder), "bfloat16"),
        }
        if python := os.environ.get(VARIABLE):
            starts["vllm"] = lambda: _vllm(python, weights, Path(folder))
        servers = {name: stack.enter_context(contextmanager(start)()) for name, start in starts.items()}
        figures: Figures = {} if python else {"vllm": f"missing: name an interpreter with vLLM in {VARIABLE}"}
        for concurrency, prompts in prompts_of.items():
            figures |= _at(concurrency, servers, prompts, num_output, repeats)
        return figures


def _at(concurrency: int, servers: Mapping[str, Server], prompts: Prompts, num_output: int, repeats: int) -> Figures:
    rounds: dict[str, list[Round]] = {name: [] for name in servers}
    for server in servers.values():
        asyncio.run(_round(server, prompts, 4))
    for _ in range(repeats):  # in turn, so that a noisy minute hits everybody
        for name, server in servers.items():
            rounds[name].append(asyncio.run(_round(server, prompts, num_output)))
    figures: Figures = {}
    for name, found in rounds.items():
        figures |= _figures(name, concurrency, found)
    if "vllm" in rounds:
        best = max(float(np.median([one.rate for one in rounds[name]])) for name in ("served", "served_bf16"))
        figures[f"vs_vllm_{concurrency}"] = best / float(np.median([one.rate for one in rounds["vllm"]]))
    return figures


def _figures(name: str, concurrency: int, rounds: list[Round]) -> Figures:
    ttft = [seconds for one in rounds for seconds in one.ttft_s]
    gaps = [seconds for one in rounds for seconds in one.gaps_s]
    return {
        f"{name}_{concurrency}": float(np.median([one.rate for one in rounds])),
        f"{name}_ttft_p50_ms_{concurrency}": 1000 * float(np.percentile(ttft, 50)),
        f"{name}_ttft_p95_ms_{concurrency}": 1000 * float(np.percentile(ttft, 95)),
        f"{name}_itl_p50_ms_{concurrency}": 1000 * float(np.percentile(gaps, 50)),
        f"{name}_itl_p99_ms_{concurrency}": 1000 * float(np.percentile(gaps, 99)),
    }


async def _round(server: Server, prompts: Prompts, num_output: int) -> Round:
    before_s = server.cpu_s()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        stamps = await asyncio.gather(*(_ask(session, server, prompt, num_output) for prompt in prompts))
    used_s = server.cpu_s() - before_s
    ttft = [times[1] - times[0] for times in stamps]
    gaps = [after - before for times in stamps for before, after in itertools.pairwise(times[1:])]
    return Round(len(prompts) * num_output / used_s, ttft, gaps)


async def _ask(session: aiohttp.ClientSession, server: Server, prompt: list[int], num_output: int) -> list[float]:
    """When the request left, then when each token came."""
    body = {
        "model": NAME, "prompt": prompt, "max_tokens": num_output, "ignore_eos": True, "temperature": 0, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    stamps, said = [time.perf_counter()], 0
    async with session.post(f"{server.url}/v1/completions", json=body) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            if b'"text"' in line:
                stamps.append(time.perf_counter())
            if b'"completion_tokens"' in line:
                said = json.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"]
    assert said == num_output, f"{server.url} said {said} tokens instead of {num_output}"
    return stamps


def _ours(weights: Path, folder: Path, dtype: str) -> Iterator[Server]:
    port = free_port()
    values = {"weights": str(weights), "port": port, "max_cached_tokens": 0, "dtype": dtype}
    config = folder / f"{dtype}.toml"
    config.write_text(tomli_w.dumps({"serving": {"engines": {NAME: values}}}), encoding="utf-8")
    yield from _started(
        [sys.executable, "-m", "serving.engine", "--config", str(config), "--name", NAME], port, folder, {}
    )


def _vllm(python: str, weights: Path, folder: Path) -> Iterator[Server]:
    """As ``config/vllm.toml`` starts it, on one thread, without its prefix cache: ours has none here either."""
    chosen = vllm.VllmSettings(
        python, weights, free_port(), dtype="bfloat16",
        arguments=("--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "32", "--no-enable-prefix-caching"),
        environment={"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
    )  # fmt: skip
    environment = {name: value for name, value in vllm.environment(NAME, chosen, {}).items() if "OTEL" not in name}
    yield from _started(vllm.command(NAME, chosen), chosen.port, folder, environment)


def _started(command: list[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, process_group=0
        )
    try:
        _await_health(process, port, log)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        await_end(process, STOP_WITHIN_S)


def _await_health(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    raise RuntimeError(f"{' '.join(process.args[:3])} did not start:\n{tail}")  # type: ignore[index]  # a list
