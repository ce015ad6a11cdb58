"""The life of one generation call: read, submit, answer, observe.

A raw ASGI application: it listens for the client's disconnect while it answers, streaming or not, and then drops the
work in the engine.
"""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Generic

import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import Receive, Scope, Send

from serving.engine import spans
from serving.engine.api import problems, wire
from serving.engine.api.answers import Envelope, Writer
from serving.engine.api.problems import Problem
from serving.engine.api.stream import part, raise_unless_answering, send_events, start
from serving.engine.api.wire import B
from serving.engine.request import Request
from serving.engine.service import Generation, Service
from serving.engine.spans import Call
from serving.engine.tokenizer import Tokenizer
from serving.telemetry import Tracer, extract_context

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_REQUEST_ID = 128
CACHE_SALT_HEADER = "x-cache-salt"
"""From the gateway: one opaque value per tenant. A header, because other servers refuse unknown body fields."""


@dataclass(frozen=True, slots=True)
class Dialect(Generic[B]):
    """How one endpoint spells requests and answers."""

    operation: str
    """``gen_ai.operation.name``."""
    id_prefix: str
    body: type[B]
    read: Callable[[B, str], Request]
    """Body and engine-wide id to a validated request; raises ``Problem``."""
    writer: Callable[[Envelope], Writer]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call needs."""

    service: Service
    tokenizer: Tokenizer
    tracer: Tracer
    engine: str
    model: str


class Endpoint(Generic[B]):
    """One POST route."""

    def __init__(self, dialect: Dialect[B], desk: Desk) -> None:
        self._dialect = dialect
        self._desk = desk
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; its span is built when everything has been sent."""
        http = HttpRequest(scope, receive)
        call = self._arrive(http)
        try:
            await self._answer(call, http, send)
        except Problem as problem:
            call.error = problem.code
            await send(start(problem.status, {**problem.headers, **_headers(call), "content-type": "application/json"}))
            await send(part(problem.body, more=False))
        except ClientDisconnect:
            call.error = "cancelled"
        finally:
            self._observe(call)

    def _arrive(self, http: HttpRequest) -> Call:
        request_id = http.headers.get("x-request-id", "")[:MAX_REQUEST_ID] or uuid.uuid4().hex
        return Call(
            operation=self._dialect.operation,
            request_id=request_id,
            response_id=f"{self._dialect.id_prefix}{request_id}",
            arrived_s=time.monotonic(),
            arrived_ns=time.time_ns(),
            parent=extract_context(dict(http.headers)),
        )

    async def _answer(self, call: Call, http: HttpRequest, send: Send) -> None:
        body = wire.read(await _read(http), self._dialect.body)
        call.model_asked = body.model
        request = self._dialect.read(body, f"{call.response_id}-{next(self._numbers)}")
        generation = self._submit(call, _salted(request, http.headers.get(CACHE_SALT_HEADER)))
        envelope = Envelope(call.response_id, self._desk.model, self._desk.tokenizer)
        writer = self._dialect.writer(envelope)
        async with _cancelled_when_gone(http, generation):
            if body.stream:
                usage_last = body.stream_options is not None and body.stream_options.include_usage
                await send_events(generation, writer, envelope, send, _headers(call), usage_last=usage_last)
            else:
                await _send_whole(generation, writer, send, _headers(call))

    def _submit(self, call: Call, request: Request) -> Generation:
        service = self._desk.service
        if not service.engine.alive:
            raise problems.engine_down()
        if service.full:
            raise problems.queue_full(service.engine.counters.waiting)
        generation = service.submit(request, call.arrived_s)
        call.sequence = generation.sequence
        return generation

    def _observe(self, call: Call) -> None:
        if call.sequence is None:
            self._desk.service.engine.counters.refused += 1
        spans.record(self._desk.tracer, call, self._desk.engine, self._desk.model, time.monotonic())


def _salted(request: Request, salt: str | None) -> Request:
    """The gateway's salt beside the caller's own: a caller can divide its tenant's prefixes, never join another's."""
    return request if salt is None else replace(request, salt=f"{salt}\0{request.salt}")


async def _send_whole(generation: Generation, writer: Writer, send: Send, headers: dict[str, str]) -> None:
    raise_unless_answering(await generation.last())
    document = msgspec.json.encode(writer.whole(generation.sequence))
    length = {"content-type": "application/json", "content-length": str(len(document))}
    await send(start(200, {**headers, **length}))
    await send(part(document, more=False))


@contextlib.asynccontextmanager
async def _cancelled_when_gone(http: HttpRequest, generation: Generation) -> AsyncIterator[None]:
    """Within it, a disconnect cancels the generation; so does leaving it early."""
    watcher = asyncio.create_task(_watch(http, generation))
    try:
        yield
    finally:
        watcher.cancel()
        generation.cancel()


async def _watch(http: HttpRequest, generation: Generation) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
    generation.cancel()


async def _read(http: HttpRequest) -> bytes:
    """The whole body, up to the limit."""
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise problems.body_too_large(MAX_BODY_BYTES)
    return bytes(body)


def _headers(call: Call) -> dict[str, str]:
    return {"x-request-id": call.request_id}
