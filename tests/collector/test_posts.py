"""Small whole posts are answered by their connection; whatever is unusual about a request goes to the application."""

import asyncio
import contextlib
import gzip
import socket
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.responses import PlainTextResponse

from collector.__main__ import Server
from collector.decoding import encoding
from collector.decoding.encoding import Encoding
from collector.receiving.connections import Connections
from collector.receiving.intake import Sent
from collector.receiving.posts import MOST_BYTES, Posting
from collector.receiving.receive import take_in
from collector.settings import ConnectionSettings
from tests.collector.payloads import span, traces
from tests.collector.receiver import LIMIT, RETRY_AFTER_S, Receiver, Store, spans

APPLICATION = 418  # what the application answers here, so that one sees who did
PLAIN = Encoding(encoding.PROTOBUF)
PROTOBUF = ("content-type: application/x-protobuf",)


@contextlib.asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[int]:
    """A server with these connections; gives its port."""
    posting = {b"/v1/traces": Posting(receiver.signal, receiver.intake)}
    connections = Connections.within(ConnectionSettings(), receiver.intake.counters, LIMIT, 1_024, posting)
    protocol: Any = connections.protocol()
    app = PlainTextResponse("the application", status_code=APPLICATION)
    server = Server(uvicorn.Config(app, http=protocol, ws="none", log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


def request(body: bytes, *headers: str, version: str = "1.1", path: str = "/v1/traces", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: c", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def answers(port: int, *sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """One after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for one in sent:
        writer.write(one)
        found.append(await answer(reader))
    writer.close()
    return found


def test_what_is_usual_needs_no_application(receiver: Receiver, store: Store) -> None:
    async def scene() -> list[tuple[int, dict[str, str], bytes]]:
        async with listening(receiver) as port:
            bad = traces([span(3), span(4, span_id=b"?")]).SerializeToString()
            return await answers(port, *(request(one, *PROTOBUF) for one in (spans(2), bad, b"\xff\xff", b"")))

    whole, partial, malformed, empty = asyncio.run(scene())
    assert (whole[0], whole[1]["content-type"], whole[2]) == (200, "application/x-protobuf", b"")
    assert ExportTraceServiceResponse.FromString(partial[2]).partial_success.rejected_spans == 1
    assert (malformed[0], "not an OTLP" in Status.FromString(malformed[2]).message) == (400, True)
    assert empty[0] == 200
    receiver.pipeline.close()
    assert store.rows == 3


@pytest.mark.parametrize(
    "unusual",
    [
        request(gzip.compress(spans(1)), *PROTOBUF, "content-encoding: gzip"),
        request(bytes(MOST_BYTES + 1), *PROTOBUF),
        request(bytes(MOST_BYTES + 1), *PROTOBUF).replace(b"65537", b"0" * 20 + b"65537"),
        request(spans(1), "content-type: application/json"),
        request(spans(1), *PROTOBUF, *PROTOBUF),
        request(spans(1), *PROTOBUF, version="1.0"),
        request(spans(1), *PROTOBUF, "connection: close"),
        request(spans(1), *PROTOBUF, path="/v1/traces?x=1"),
        request(spans(1), *PROTOBUF, method="PUT"),
        request(b"", *PROTOBUF, "expect: 100-continue"),
        request(b"", *PROTOBUF, "transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"") + b"0\r\n\r\n",
    ],
    ids=[
        "gzip",
        "large",
        "large behind zeros",
        "JSON",
        "two types",
        "HTTP/1.0",
        "close",
        "query",
        "PUT",
        "expect",
        "chunked",
    ],
)
def test_what_is_unusual_goes_to_the_application(receiver: Receiver, unusual: bytes) -> None:
    async def scene() -> int:
        async with listening(receiver) as port:
            [(status, _, _)] = await answers(port, unusual)
            return status

    assert asyncio.run(scene()) == APPLICATION


def test_a_full_queue_says_when_to_come_back(receiver: Receiver, store: Store) -> None:
    async def scene() -> list[tuple[int, dict[str, str], bytes]]:
        async with listening(receiver) as port:
            store.gate.clear()
            return await answers(port, *(request(spans(rows), *PROTOBUF) for rows in (2, 2, 1)))

    *taken, (status, headers, _) = asyncio.run(scene())
    assert [one[0] for one in taken] == [200, 200]
    assert (status, headers["retry-after"]) == (503, str(round(RETRY_AFTER_S)))


def test_a_full_disk_acknowledges_nothing_and_recovers(receiver: Receiver) -> None:
    async def scene() -> tuple[Any, Any]:
        async with listening(receiver) as port:
            receiver.fill_the_disk()
            [refused] = await answers(port, request(spans(1), *PROTOBUF))
            receiver.make_room()
            return refused, (await answers(port, request(spans(1), *PROTOBUF)))[0]

    refused, taken = asyncio.run(scene())
    assert (refused[0], taken[0]) == (503, 200)
    assert "make room" in Status.FromString(refused[2]).message


def test_our_own_mistake_is_answered_500(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a mistake")

    async def scene() -> int:
        async with listening(receiver) as port:
            monkeypatch.setattr("collector.receiving.posts.read", fail)
            return (await answers(port, request(spans(1), *PROTOBUF)))[0][0]

    assert asyncio.run(scene()) == 500


def test_who_leaves_in_the_middle_of_a_body_holds_nothing(receiver: Receiver) -> None:
    async def scene() -> None:
        async with listening(receiver) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(spans(2), *PROTOBUF)[:-5])
            ticket = receiver.intake.admission.ticket()
            async with asyncio.timeout(20):
                while not receiver.intake.admission.held:
                    await asyncio.sleep(0.01)
                writer.close()
                while receiver.intake.admission.held:
                    await asyncio.sleep(0.01)
            ticket.take(LIMIT)

    asyncio.run(scene())


def test_requests_in_a_pipeline_are_answered_in_their_order(receiver: Receiver) -> None:
    async def scene() -> list[int]:
        async with listening(receiver) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            one = request(spans(1), *PROTOBUF)
            writer.write(one + request(b"", path="/health") + one)
            found = [(await answer(reader))[0] for _ in range(3)]
            writer.close()
            return found

    assert asyncio.run(scene()) == [200, APPLICATION, APPLICATION]  # what comes behind another waits for its turn


@pytest.mark.parametrize("packed", ["", "gzip", "deflate", "zstd"])
def test_what_is_small_is_read_without_a_thread_also_compressed(receiver: Receiver, store: Store, packed: str) -> None:
    pack = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[packed]
    small, large = (Sent(pack(one), packed, PLAIN, time.time_ns(), "peer") for one in (spans(2), bytes(LIMIT - 1)))
    receiver.intake.decoders.shutdown()
    assert asyncio.run(take_in(receiver.signal, small, receiver.intake)).accepted == 2
    with pytest.raises(RuntimeError, match="shutdown"):
        asyncio.run(take_in(receiver.signal, large, receiver.intake))
    receiver.pipeline.close()
    assert store.rows == 2
