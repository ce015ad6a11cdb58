"""OTLP over gRPC: the same intake, spool and acknowledgement after its sync as over HTTP.

Messages come to us still compressed: gRPC's own decompression knows no limit of the size it makes. A sender is told to
come back by ``google.rpc.RetryInfo``, as the OTLP specification asks; a refusal without it is final.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.decoding import encoding
from collector.decoding.encoding import Encoding
from collector.decoding.signals import Signal
from collector.receiving.intake import Intake, Sent
from collector.receiving.receive import STORE_RETRY_AFTER_S, WHO, take_in
from collector.settings import MEGABYTE, GrpcSettings
from conventions.errors import IngestError, MalformedPayload, Overloaded, SettingsError, StoreError

_log = logging.getLogger(__name__)

SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
# how a compressed message begins; an OTLP message begins with the tag of its first field, 0x0A
MAGIC: Final = {b"\x1f": "gzip", b"\x78": "deflate"}
CODES: Final = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
SPOKEN: Final = Encoding(encoding.PROTOBUF)
MAX_STREAMS = 64  # exports under way per connection; a sender's further ones wait on its side
MAX_MESSAGE = 16 * MEGABYTE  # as sent; OpenTelemetry's own receivers take 4
MAX_READS = 64  # messages that are read at once: with MAX_MESSAGE what hostile senders can make us hold
READ_TIMEOUT_S = 20.0
READ_RETRY_S = 1.0
HANDSHAKE_MS = 10_000  # for a connection that never says it is HTTP/2
IDLE_MS = 300_000  # a connection without exports is told to come again
STATUS_DETAILS = "grpc-status-details-bin"


class Reads:
    """The messages that are being read, of all connections together."""

    def __init__(self) -> None:
        self._under_way = 0

    async def message(self, context: Any) -> bytes:
        """The one message of an export. Raises ``Overloaded``, ``MalformedPayload`` and ``TimeoutError``."""
        if self._under_way >= MAX_READS:
            raise Overloaded(
                f"{MAX_READS} messages are being read: retry in {READ_RETRY_S:g} s", retry_after_s=READ_RETRY_S
            )
        self._under_way += 1
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                body = await context.read()
        finally:
            self._under_way -= 1
        if body is grpc.aio.EOF:
            raise MalformedPayload("the export has no message")
        return bytes(body)


@asynccontextmanager
async def receiving(
    settings: GrpcSettings, signals: Sequence[Signal], intake: Intake, grace_s: float
) -> AsyncIterator[str]:
    """Serve until the block ends, then let exports under way finish for ``grace_s``; gives the address.

    Raises ``SettingsError`` when the address cannot be listened on.
    """
    server = grpc.aio.server(options=_options(intake.max_body))
    reads = Reads()
    server.add_generic_rpc_handlers([_handler(signal, intake, reads) for signal in signals])
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.port}")
    except RuntimeError as error:
        raise SettingsError(
            f"cannot listen on {host}:{settings.port} for gRPC: {error}; choose another [collector.grpc] port, or 0"
        ) from None
    await server.start()
    _log.info("OTLP/gRPC on %s:%d", host, port)
    try:
        yield f"{host}:{port}"
    finally:
        await server.stop(grace_s)


def _options(max_body: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", min(max_body, MAX_MESSAGE)),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.per_message_decompression", 0),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.so_reuseport", 0),  # two collectors on one port would share the spans out between them
    ]


def _handler(signal: Signal, intake: Intake, reads: Reads) -> Any:
    async def export(_messages: Any, context: Any) -> Message:
        try:
            status = intake.door.refusal(dict(context.invocation_metadata()).get("authorization", ""))
            if status is not None:
                await _refuse(context, intake, CODES[status], WHO[status])
            body = await reads.message(context)
            with intake.admission.request() as ticket:
                ticket.take(len(body))
                peer = context.peer().rpartition(":")[0]
                sent = Sent(body, MAGIC.get(body[:1], ""), SPOKEN, time.time_ns(), peer)
                batch = await take_in(signal, sent, intake)
        except (IngestError, StoreError) as error:
            await _refuse_error(context, intake, error)
        except TimeoutError:
            why = f"the message did not arrive within {READ_TIMEOUT_S:g} s: send it again"
            await _refuse(context, intake, grpc.StatusCode.DEADLINE_EXCEEDED, why)
        return signal.answer(batch)

    # a stream of one message is the same on the wire, and read when we want it: after the token, few at once
    method = grpc.stream_unary_rpc_method_handler(export, response_serializer=lambda answer: answer.SerializeToString())
    return grpc.method_handlers_generic_handler(SERVICES[signal.name], {"Export": method})


async def _refuse_error(context: Any, intake: Intake, error: IngestError | StoreError) -> NoReturn:
    if isinstance(error, Overloaded):
        await _refuse(context, intake, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), error.retry_after_s)
    if isinstance(error, StoreError):
        await _refuse(context, intake, grpc.StatusCode.UNAVAILABLE, str(error), STORE_RETRY_AFTER_S)
    await _refuse(context, intake, grpc.StatusCode.INVALID_ARGUMENT, str(error))


async def _refuse(context: Any, intake: Intake, code: Any, reason: str, retry_after_s: float | None = None) -> NoReturn:
    intake.counters.refused.labels(code.name).inc()
    intake.refusals.say(code.name, reason, context.peer().rpartition(":")[0])
    status = Status(code=code.value[0], message=reason)
    if retry_after_s is not None:
        status.details.append(_retry_info(retry_after_s))
    await context.abort(code, reason, ((STATUS_DETAILS, status.SerializeToString()),))
    raise AssertionError("abort always raises")


def _retry_info(retry_after_s: float) -> AnyMessage:
    fraction, whole = math.modf(retry_after_s)
    info = RetryInfo()
    info.retry_delay.seconds = int(whole)
    info.retry_delay.nanos = int(fraction * 1e9)
    packed = AnyMessage()
    packed.Pack(info)
    return packed
