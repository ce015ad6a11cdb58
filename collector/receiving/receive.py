"""OTLP over HTTP: a request is answered after it is on disk, in its own encoding.

Malformed spans and data points are refused one by one (partial success); the rest of their request is stored.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.decoding import compression, encoding
from collector.decoding.batch import Batch
from collector.decoding.encoding import Encoding
from collector.decoding.signals import Signal
from collector.receiving.admission import Ticket
from collector.receiving.intake import Intake, Sent, read, read_plain
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
Headers = Mapping[bytes, bytes]
ALL_IS_STORED: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"0"), (b"content-type", encoding.PROTOBUF.encode())],
}
NO_BODY: Final = {"type": "http.response.body", "body": b""}
STATUS_OF: dict[type[TokenjouleError], int] = {
    MalformedPayload: 400,
    PayloadTooLarge: 413,
    UnsupportedMedia: 415,
    Overloaded: 503,
    StoreError: 503,
}
WHO: Final = {
    401: "send the ingest token as 'Authorization: Bearer ...'",
    403: "this token is not the ingest token: it opens another part of the collector",
}
STORE_RETRY_AFTER_S = 5.0
BODY_TIMEOUT_S = 60.0
INLINE_BYTES = 16_384
"""So much is checked within 0.1 ms; handing it to a thread and back takes as long."""
INLINE_PROTOBUF_BYTES = 300_000
"""512 spans are checked within 1 ms. Handed to a thread and back they wait for Python's lock twice: under load one in a
hundred waited for 20 to 40 ms."""


class Receiver:
    """The ASGI application behind ``POST /v1/<signal>``.

    It reads and answers without Starlette's requests and responses, which cost as much as all else here does.
    """

    def __init__(self, signal: Signal, intake: Intake) -> None:
        self._signal = signal
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(reversed(scope["headers"]))  # names in lower case; of a repeated one the first
        client = scope.get("client")
        peer = client[0] if client else ""
        answer_in = encoding.to_answer(_text(headers, b"content-type"))
        response: ASGIApp
        try:
            if (status := self._intake.door.refusal(_text(headers, b"authorization"))) is not None:
                response = _refuse(self._intake, answer_in, status, WHO[status], peer)
            else:
                spoken = encoding.of(_text(headers, b"content-type"))
                batch = await self._taken_in(headers, receive, spoken, peer)
                response = _accepted(self._signal, batch, answer_in)
        except (IngestError, StoreError) as error:
            response = refused_for(self._intake, answer_in, error, peer)
        except TimeoutError:
            why = f"the body did not arrive within {BODY_TIMEOUT_S:g} s: send it again"
            response = _refuse(self._intake, answer_in, 408, why, peer)
        except ClientDisconnect:
            response = Response(status_code=499)
        await response(scope, receive, send)

    async def _taken_in(self, headers: Headers, receive: Receive, spoken: Encoding, peer: str) -> Batch:
        """Receive and spool. Raises ``IngestError``, ``StoreError``, ``TimeoutError`` or ``ClientDisconnect``."""
        with self._intake.admission.request() as ticket:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read(headers, receive, self._intake.max_body, ticket)
            sent = Sent(body, _text(headers, b"content-encoding"), spoken, time.time_ns(), peer)
            return await take_in(self._signal, sent, self._intake)


async def take_in(signal: Signal, sent: Sent, intake: Intake) -> Batch:
    """Spool ``sent``: returned means on disk. Raises ``IngestError`` or ``StoreError``."""
    plain = _at_once(sent)
    if plain is not None:
        record, batch = read_plain(signal, sent, plain)
    else:
        loop = asyncio.get_running_loop()
        record, batch = await loop.run_in_executor(intake.decoders, read, signal, sent, intake.max_body)
    intake.counters.count(signal.name, batch)
    if batch.accepted:
        await asyncio.wrap_future(intake.pipeline.submit(record))
    return batch


def _at_once(sent: Sent) -> bytes | None:
    """The body decompressed, if it is so small that it is read here; ``None``: a thread has to."""
    most = INLINE_PROTOBUF_BYTES if sent.encoding.media_type == encoding.PROTOBUF else INLINE_BYTES
    if len(sent.body) > (most if sent.compressed_as in ("", "identity") else INLINE_BYTES):
        return None
    try:
        return compression.decompress(sent.body, sent.compressed_as, most)
    except PayloadTooLarge:
        return None


async def _read(headers: Headers, receive: Receive, limit: int, ticket: Ticket) -> bytes:
    """The body as sent. Raises ``Overloaded``, and ``PayloadTooLarge`` as soon as it is over ``limit`` bytes."""
    declared = _text(headers, b"content-length")
    if declared.isdigit() and int(declared) > limit:
        raise compression.too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > limit:
            raise compression.too_large(limit)
        ticket.take(len(part))
        parts.append(part)
    return b"".join(parts)


def _text(headers: Headers, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _accepted(signal: Signal, batch: Batch, answer_in: Encoding) -> ASGIApp:
    if answer_in.media_type == encoding.PROTOBUF and not batch.refusals.count and not batch.passed_over:
        return _all_is_stored
    return accepted(signal, batch, answer_in)


def accepted(signal: Signal, batch: Batch, answer_in: Encoding) -> Response:
    """The answer to a request of which something is stored, and what was refused of it."""
    return Response(answer_in.render(signal.answer(batch)), media_type=answer_in.media_type)


async def _all_is_stored(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The answer without anything to say, an empty message."""
    await send(ALL_IS_STORED)
    await send(NO_BODY)


def refused_for(intake: Intake, answer_in: Encoding, error: IngestError | StoreError, peer: str) -> Response:
    """The answer to a request that is not taken in; said in the log, and counted."""
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
