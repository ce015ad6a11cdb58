"""A small real OpenAI-compatible server for tests: it answers, streams, fails, stalls or breaks off as told."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

WORDS = ("It", " is", " open", ".")


@dataclass
class Behaviour:
    """What the stub does next. ``break_after``: close the connection after so many events of a stream."""

    status: int = 200
    delay_s: float = 0.0
    gap_s: float = 0.0
    words: tuple[str, ...] = WORDS
    break_after: int | None = None
    raw_stream: bytes | None = None
    raw_body: bytes | None = None


@dataclass
class Seen:
    """One request as it arrived; ``cancelled_s``: when the client's disconnect was noticed."""

    body: dict[str, Any]
    headers: dict[str, str]
    arrived_s: float
    cancelled_s: float | None = None


@dataclass
class Stub:
    """A server on a free port in a thread of its own."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    seen: list[Seen] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        for path in ("/v1/chat/completions", "/v1/completions"):
            app.router.add_post(path, self._complete)
        app.router.add_get("/health", self._health)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = Seen(body, {name.lower(): value for name, value in request.headers.items()}, time.perf_counter())
        self.seen.append(seen)
        try:
            return await self._answer(request, body)
        except (asyncio.CancelledError, ConnectionError):
            seen.cancelled_s = time.perf_counter()
            raise

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        how = self.behaviour
        await asyncio.sleep(how.delay_s)
        if how.status != 200:
            error = {"error": {"message": "stub says no", "type": "server_error", "code": how.status}}
            return web.json_response(error, status=how.status, headers={"Retry-After": "1"})
        if not body.get("stream"):
            data = how.raw_body or json.dumps(answer(body, how.words, request.path)).encode()
            return web.Response(body=data, content_type="application/json")
        return await self._stream(request, body, how)

    async def _stream(self, request: web.Request, body: dict[str, Any], how: Behaviour) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        number = 0
        async for event in self._events(body, how, request.path):
            if number == how.break_after:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(event)
            number += 1
        await response.write_eof()
        return response

    async def _events(self, body: dict[str, Any], how: Behaviour, path: str) -> AsyncIterator[bytes]:
        if how.raw_stream is not None:
            for start in range(0, len(how.raw_stream), 7):
                yield how.raw_stream[start : start + 7]
            return
        for event in stream_events(body, how.words, path):
            yield event
            await asyncio.sleep(how.gap_s)


def usage(words: tuple[str, ...]) -> dict[str, Any]:
    return {
        "prompt_tokens": 11,
        "completion_tokens": len(words),
        "total_tokens": 11 + len(words),
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def answer(body: dict[str, Any], words: tuple[str, ...], path: str) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": "stop"}
    if path.endswith("/chat/completions"):
        choice["message"] = {"role": "assistant", "content": "".join(words)}
    else:
        choice["text"] = "".join(words)
    head = {"id": "cmpl-stub", "object": "chat.completion", "created": 1, "model": body["model"]}
    return {**head, "choices": [choice], "usage": usage(words)}


def stream_events(body: dict[str, Any], words: tuple[str, ...], path: str) -> list[bytes]:
    """The stream as vLLM words it: role, one event per word, finish, usage if asked for, [DONE]."""
    head = {"id": "cmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    if path.endswith("/chat/completions"):
        pieces: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}]
        pieces += [{"delta": {"content": word}} for word in words]
        pieces.append({"delta": {}, "finish_reason": "stop"})
    else:
        pieces = [{"text": word} for word in words]
        pieces[-1] = {**pieces[-1], "finish_reason": "stop"}
    chunks = [{**head, "choices": [{"index": 0, "finish_reason": None, **piece}]} for piece in pieces]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": usage(words)})
    events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return [*events, b"data: [DONE]\n\n"]
