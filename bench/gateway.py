"""What does the gateway cost? ``python -m bench.gateway [--quick] [--json PATH]``.

A real gateway process (two backends, ``least_loaded``, exact cache, telemetry to a receiver) in front of a stand-in
that answers at once; in turns with it, within one run, the same requests straight to the stand-in and through the
floor: a relay of twenty lines on the same server and client libraries that parses and records nothing. Latency is that
of one caller at a time; CPU is that of the whole process, telemetry included. A missing peer is named.
"""

import asyncio
import importlib.util
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvicorn

from bench.result import Options, options, publish

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
CHUNKS = 100
PARALLEL = 8  # streams at a time
CHUNK_GAP_S = 0.002  # chunks that arrive one by one, as from an engine, and not many in one read
MESSAGES = [{"role": "user", "content": "Is the archive open? " * 40}]  # a body of about 1 kB
ANSWER = {
    "id": "cmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 200, "completion_tokens": 1, "total_tokens": 201},
}  # fmt: skip
PEERS = ("litellm", "vllm_router")


def main() -> None:
    """Added median latency, CPU per request, CPU per streamed chunk."""
    chosen = options(__doc__)
    scale = Scale(200, 4, 4) if chosen.quick else Scale(1500, 20, 8)
    spawn = multiprocessing.get_context("spawn")
    ports = _free_port(), _free_port()
    servers = [spawn.Process(target=_serve, args=(*ports, relay), daemon=True) for relay in (False, True)]
    for server, port in zip(servers, ports, strict=True):
        server.start()
        _wait_for(port)
    with tempfile.TemporaryDirectory() as folder:
        gateway, url = start_gateway(Path(folder), ports[0])
        try:
            arms = [Arm("gateway", url, gateway.pid), Arm("floor", _url(ports[1]), servers[1].pid or 0)]
            figures = asyncio.run(measure(arms, Arm("direct", _url(ports[0]), servers[0].pid or 0), scale))
        finally:
            gateway.terminate()
            gateway.wait()
            for server in servers:
                server.terminate()
    _publish(chosen, figures, scale)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked in each of the rounds."""

    requests: int
    streams: int
    rounds: int


@dataclass(slots=True)
class Arm:
    """One way to the stand-in, and what it cost so far."""

    name: str
    url: str
    pid: int
    latencies_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    chunk_us: list[float] = field(default_factory=list)

    def cpu_s(self) -> float:
        """CPU seconds of its process so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def _serve(upstream_port: int, relay_port: int, relay: bool) -> None:
    """The stand-in, or the floor in front of it."""
    app, port = (Relay(_url(upstream_port)), relay_port) if relay else (_upstream, upstream_port)
    uvicorn.run(app, host="127.0.0.1", port=port, http="httptools", lifespan="off", log_level="error")


class Relay:
    """The floor: passes bytes both ways."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request (ASGI 3)."""
        self._session = self._session or aiohttp.ClientSession(auto_decompress=False)
        async with self._session.post(self._upstream + scope["path"], data=await _body(receive)) as response:
            kind = response.headers["Content-Type"].encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            while data := await response.content.readany():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    whole: bytes = body + message.get("body", b"")
    return whole


async def _upstream(_scope: Message, receive: Receive, send: Send) -> None:
    """Answers at once, a stream chunk by chunk; takes telemetry too and drops it."""
    streamed = b'"stream":true' in (await _body(receive)).replace(b" ", b"")
    kind = b"text/event-stream" if streamed else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for event in _events() if streamed else ():
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(CHUNK_GAP_S)
    await send({"type": "http.response.body", "body": b"" if streamed else json.dumps(ANSWER).encode()})


def _events() -> list[bytes]:
    head = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]} for _ in range(CHUNKS)
    ]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    chunks.append({**head, "choices": [], "usage": ANSWER["usage"]})
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def start_gateway(folder: Path, upstream_port: int) -> tuple["subprocess.Popen[str]", str]:
    """The gateway's process and address, once it is ready."""
    upstream = _url(upstream_port)
    backends = "".join(
        f'[[serving.gateway.backends]]\nname = "{name}"\nurl = "{upstream}"\nmodel = "m"\n' for name in ("one", "two")
    )
    config = folder / "gateway.toml"
    config.write_text(f'[serving.gateway]\nport = 0\ncache = "exact"\notlp_endpoint = "{upstream}"\n{backends}')
    command = [sys.executable, "-m", "serving.gateway", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


async def measure(arms: list[Arm], direct: Arm, scale: Scale) -> dict[str, float]:
    """All arms in turns; medians over all rounds."""
    async with aiohttp.ClientSession() as session:
        for arm in (*arms, direct):
            await _ask_many(session, arm.url, 100, streamed=False)  # warm
        for _ in range(scale.rounds):
            for arm in (*arms, direct):
                await _round(session, arm, scale)
    p50_ms = {arm.name: statistics.median(arm.latencies_s) * 1e3 for arm in (*arms, direct)}
    gateway, floor = arms
    return {
        "added_p50_ms": p50_ms["gateway"] - p50_ms["direct"],
        "floor_added_p50_ms": p50_ms["floor"] - p50_ms["direct"],
        "direct_p50_ms": p50_ms["direct"],
        "cpu_ms_per_request": statistics.median(gateway.cpu_ms),
        "floor_cpu_ms_per_request": statistics.median(floor.cpu_ms),
        "cpu_us_per_chunk": statistics.median(gateway.chunk_us),
        "floor_cpu_us_per_chunk": statistics.median(floor.chunk_us),
    }


async def _round(session: aiohttp.ClientSession, arm: Arm, scale: Scale) -> None:
    before_s = arm.cpu_s()
    arm.latencies_s += await _ask_many(session, arm.url, scale.requests, streamed=False)
    between_s = arm.cpu_s()
    await asyncio.gather(*(_ask_many(session, arm.url, scale.streams, streamed=True) for _ in range(PARALLEL)))
    arm.cpu_ms.append((between_s - before_s) / scale.requests * 1e3)
    # paced streams wake the process for every chunk: what is measured is mostly those wake-ups
    stream_ms = (arm.cpu_s() - between_s) / (scale.streams * PARALLEL) * 1e3
    arm.chunk_us.append((stream_ms - arm.cpu_ms[-1]) / CHUNKS * 1e3)


async def _ask_many(session: aiohttp.ClientSession, url: str, count: int, *, streamed: bool) -> list[float]:
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": streamed}).encode()
    latencies = []
    for _ in range(count):
        began_s = time.perf_counter()
        async with session.post(f"{url}/v1/chat/completions", data=body) as response:
            await response.read()
            response.raise_for_status()
        latencies.append(time.perf_counter() - began_s)
    return latencies


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline_s, f"nothing listens on port {port} after {timeout_s} s"
            time.sleep(0.05)


def _publish(chosen: Options, figures: dict[str, float], scale: Scale) -> None:
    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    note = (
        f"{scale.rounds} rounds of {scale.requests} answers of 1 kB to one caller, and {scale.streams * PARALLEL} "
        f"streams of {CHUNKS} chunks to {PARALLEL}. Not measured: {', '.join(missing) or 'peers'}."
    )
    publish("gateway", figures, chosen, note)


if __name__ == "__main__":
    main()
