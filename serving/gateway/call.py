"""One call on its way through the gateway: what is known about it so far, and its delivery to the client."""

import asyncio
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from serving.backends.failures import Outcome
from serving.backends.fleet import Backend
from serving.gateway.ask import Ask, Operation
from serving.gateway.observation import Observation
from serving.gateway.replies import Header, Receive, Send
from serving.telemetry import Span

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")


@dataclass(slots=True)
class Call:
    """Filled as the call proceeds. Times are monotonic seconds; ``upstream_s`` sums the time attempts were open."""

    operation: Operation
    tenant: str
    headers: Mapping[bytes, bytes]
    request_id: str
    accepted_s: float
    span: Span
    ask: Ask | None = None
    observation: Observation = field(default_factory=Observation)
    backend: Backend | None = None
    tier: str | None = None
    policy: str | None = None
    reason: str | None = None
    escalated_from: str | None = None
    """The tier whose answer was not shown."""
    confidence: float | None = None
    """Chance that the answer on trial was right."""
    cache_key: str | None = None
    cache_result: str | None = None
    upstream_s: float = 0.0
    status: int | None = None
    error_type: str | None = None
    outcome: Outcome = "failed"

    def fail(self, error_type: str, outcome: Outcome) -> None:
        """Note how it went wrong."""
        self.error_type, self.outcome = error_type, outcome

    def response_headers(self) -> list[Header]:
        """What the client is told beside the answer. A cache key never is."""
        headers = [(b"x-request-id", self.request_id.encode())]
        if self.backend is not None:
            headers.append((b"x-tokenjoule-backend", self.backend.name.encode()))
        if self.cache_result is not None:
            headers.append((b"x-tokenjoule-cache", b"miss" if self.cache_result == "miss" else b"hit"))
        return headers


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The client's ``X-Request-Id`` if it is a plain one, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


class Departure:
    """Cancels the task of a call when its client goes away; a context manager around the work."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._watch = asyncio.create_task(self._cancel_when_gone(task))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disarm()

    def disarm(self) -> None:
        """The rest cannot be cancelled: everything is on its way."""
        if self._watch is not None:
            self._watch.cancel()

    async def _cancel_when_gone(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        task.cancel("the client closed the connection")


class Delivery:
    """The response to the client. Until ``started``, another attempt may still answer."""

    def __init__(self, send: Send, call: Call, departure: Departure) -> None:
        self._send, self._call, self._departure = send, call, departure
        self.started = False

    async def whole(self, body: bytes, content_type: str, status: int = 200, extra: list[Header] | None = None) -> None:
        """One whole response with its length."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, content_type, [length, *(extra or ())])
        await self._finish(body)

    async def piece(self, data: bytes, content_type: str) -> None:
        """Some bytes of a stream; the first call sends the headers as well."""
        if not self.started:
            await self._start(200, content_type, [(b"cache-control", b"no-cache")])
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The end of a stream, after ``data``."""
        await self._finish(data)

    async def _start(self, status: int, content_type: str, extra: list[Header]) -> None:
        self.started, self._call.status = True, status
        headers = [(b"content-type", content_type.encode()), *extra, *self._call.response_headers()]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _finish(self, data: bytes) -> None:
        self._departure.disarm()
        await self._send({"type": "http.response.body", "body": data})
