"""OTLP over HTTP: a request is answered after it is on disk, in its own encoding.

Malformed spans and data points are refused one by one (partial success); the rest of their request is stored.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from collector.decoding import compression, encoding
from collector.decoding.batch import Batch
from collector.decoding.encoding import Encoding
from collector.decoding.signals import Signal
from collector.receiving.access import allowed
from collector.receiving.admission import Ticket
from collector.receiving.intake import Intake, Sent, read
from conventions.errors import (
    IngestError,
    MalformedPayload,
    Overloaded,
    PayloadTooLarge,
    StoreError,
    TokenjouleError,
    UnsupportedMedia,
)

Endpoint = Callable[[Request], Awaitable[Response]]
STATUS_OF: dict[type[TokenjouleError], int] = {
    MalformedPayload: 400,
    PayloadTooLarge: 413,
    UnsupportedMedia: 415,
    Overloaded: 503,
    StoreError: 503,
}
STORE_RETRY_AFTER_S = 5.0
BODY_TIMEOUT_S = 60.0
INLINE_BYTES = 16_384  # is checked within 0.1 ms; handing it to a thread and back takes as long


def receive_endpoint(signal: Signal, intake: Intake) -> Endpoint:
    """The handler of ``POST /v1/<signal>``."""

    async def endpoint(request: Request) -> Response:
        answer_in = Encoding(encoding.JSON)
        peer = _peer(request)
        try:
            if not allowed(request, intake.token):
                return _refuse(intake, answer_in, 401, "send the ingest token as 'Authorization: Bearer ...'", peer)
            answer_in = encoding.of(request.headers.get("content-type", ""))
            with intake.admission.request() as ticket:
                batch = await _take_in(request, signal, answer_in, intake, ticket)
        except (IngestError, StoreError) as error:
            return _refuse_error(intake, answer_in, error, peer)
        except TimeoutError:
            why = f"the body did not arrive within {BODY_TIMEOUT_S:g} s: send it again"
            return _refuse(intake, answer_in, 408, why, peer)
        except ClientDisconnect:
            return Response(status_code=499)
        return Response(answer_in.render(signal.answer(batch)), media_type=answer_in.media_type)

    return endpoint


async def _take_in(request: Request, signal: Signal, spoken: Encoding, intake: Intake, ticket: Ticket) -> Batch:
    """Receive and spool. Raises ``IngestError``, ``StoreError`` or ``TimeoutError``."""
    async with asyncio.timeout(BODY_TIMEOUT_S):
        body = await _read(request, intake.max_body, ticket)
    sent = Sent(body, request.headers.get("content-encoding", ""), spoken, time.time_ns(), _peer(request))
    return await take_in(signal, sent, intake)


async def take_in(signal: Signal, sent: Sent, intake: Intake) -> Batch:
    """Spool ``sent``: returned means on disk. Raises ``IngestError`` or ``StoreError``."""
    if len(sent.body) <= INLINE_BYTES and sent.compressed_as in ("", "identity"):
        record, batch = read(signal, sent, intake.max_body)
    else:
        loop = asyncio.get_running_loop()
        record, batch = await loop.run_in_executor(intake.decoders, read, signal, sent, intake.max_body)
    intake.counters.count(signal.name, batch)
    if batch.accepted:
        await asyncio.wrap_future(intake.pipeline.submit(record))
    return batch


async def _read(request: Request, limit: int, ticket: Ticket) -> bytes:
    """The body as sent. Raises ``Overloaded``, and ``PayloadTooLarge`` as soon as it is over ``limit`` bytes."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise compression.too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise compression.too_large(limit)
        ticket.take(len(part))
        parts.append(part)
    return b"".join(parts)


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _refuse_error(intake: Intake, answer_in: Encoding, error: IngestError | StoreError, peer: str) -> Response:
    status = next(code for kind, code in STATUS_OF.items() if isinstance(error, kind))
    response = _refuse(intake, answer_in, status, str(error), peer)
    if status == 503:
        retry_after_s = error.retry_after_s if isinstance(error, Overloaded) else STORE_RETRY_AFTER_S
        response.headers["retry-after"] = str(max(1, round(retry_after_s)))
    return response


def _refuse(intake: Intake, answer_in: Encoding, status: int, reason: str, peer: str) -> Response:
    intake.counters.refused.labels(str(status)).inc()
    intake.refusals.say(str(status), reason, peer)
    return Response(answer_in.failure(status, reason), status_code=status, media_type=answer_in.media_type)
