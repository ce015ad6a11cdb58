"""The life of one model call: key, body, cache, attempts, answer, and one record of how it went."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from conventions.plugins import unknown
from serving.backends.failures import AttemptFailed
from serving.backends.fleet import Fleet
from serving.gateway import ask, spans, sse
from serving.gateway.ask import Operation
from serving.gateway.attempts import Attempts
from serving.gateway.call import Call, Delivery, Departure, request_id
from serving.gateway.memory import Memory
from serving.gateway.metrics import Counters
from serving.gateway.relay import Recording
from serving.gateway.replies import ApiError, Header, Receive, Send, too_large, unknown_model
from serving.telemetry import Tracer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Calls:
    """Serves chat and text completions."""

    fleet: Fleet
    attempts: Attempts
    memory: Memory
    tracer: Tracer
    counters: Counters
    max_body_bytes: int

    async def serve(
        self, operation: Operation, tenant: str, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        """Answer one request, record it once, whatever happens."""
        span = spans.open_call(self.tracer, operation, headers)
        call = Call(operation, tenant, headers, request_id(headers), time.perf_counter(), span)
        self.counters.opened()
        try:
            await self._answer(call, receive, send)
        finally:
            self.counters.closed(call, time.perf_counter() - call.accepted_s)
            spans.close_call(call)

    async def _answer(self, call: Call, receive: Receive, send: Send) -> None:
        departure = Departure(receive)
        delivery = Delivery(send, call, departure)
        try:
            raw = await read_body(receive, call.headers, self.max_body_bytes)
            with departure:
                await self._work(call, raw, delivery)
        except ApiError as error:
            call.fail(error.error_type, "refused")
            await _refuse(delivery, error)
        except AttemptFailed as failure:
            await _report(delivery, failure)
        except asyncio.CancelledError:
            call.fail("cancelled", "cancelled")
            _absorb_cancellation()

    async def _work(self, call: Call, raw: bytes, delivery: Delivery) -> None:
        call.ask = ask.parse(raw, call.operation)
        self._require_model(call.ask.model)
        if await self.memory.answer(call, delivery):
            return
        recording = Recording(wanted=call.cache_key is not None)
        await self.attempts.run(call, delivery, recording)
        self.memory.learn(call, recording)

    def _require_model(self, model: str) -> None:
        if not self.fleet.serving(model):
            raise unknown_model(unknown("model", model, self.fleet.models()))


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The request's body. Raises ``ApiError`` (413) over ``limit`` bytes, ``CancelledError`` if the client leaves."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError("the client left before its request was complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


async def _refuse(delivery: Delivery, error: ApiError) -> None:
    await delivery.whole(error.body(), "application/json", error.status, error.headers)


async def _report(delivery: Delivery, failure: AttemptFailed) -> None:
    """Tell the client that nobody answered: in the stream if it has begun, else with the backend's own words."""
    error = ApiError(failure.status, str(failure), failure.error_type)
    if delivery.started:
        await delivery.end(sse.event(error.body()))
        return
    extra: list[Header] = []
    if failure.retry_after is not None:
        extra.append((b"retry-after", failure.retry_after.encode("latin-1")))
    if failure.body is None:
        await delivery.whole(error.body(), "application/json", error.status, extra)
    else:
        await delivery.whole(failure.body, failure.content_type, failure.status, extra)


def _absorb_cancellation() -> None:
    """The client is gone and the work is undone: the task itself ends normally."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
