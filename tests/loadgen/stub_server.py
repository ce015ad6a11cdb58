"""A chat server with known truth, and a sink for spans and run records: a process of its own on raw asyncio sockets.

``python stub_server.py`` prints its port. The model's name chooses the behaviour; every stream sends the role chunk
at once, the first content at 100 ms sharp and then one chunk every 10 ms (times are absolute, so they do not drift).
"""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FIRST_CONTENT_S, GAP_S = 0.100, 0.010
seen: dict[str, list[Any]] = {"requests": [], "rows": [], "spans": [], "moods": []}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while (request := await read_request(reader)) is not None:
            await answer(*request, writer)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return lines[0].split(" ")[1], headers, body


async def answer(path: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
    if path == "/seen":
        return reply(writer, seen)
    if path.startswith("/moody") and len(seen["moods"]) < 2:  # refuses twice what is posted below /moody
        seen["moods"].append(path)
        return reply(writer, {}, status=400)
    path = path.removeprefix("/moody")
    if path == "/v1/records/runs":
        seen["rows"].extend(json.loads(body)["rows"])
        return reply(writer, {"accepted": 1})
    if path == "/v1/traces":
        seen["spans"].extend(spans(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body))
        return reply(writer, {})
    wanted = json.loads(body)
    seen["requests"].append({"headers": headers, "body": wanted})
    if wanted["model"] == "busy":
        return reply(writer, {"error": {"message": "busy"}}, status=429)
    if wanted["model"] == "silent":
        await asyncio.sleep(30)
    if not wanted["stream"]:
        await asyncio.sleep(0.02)
        return reply(writer, completion(wanted))
    await stream(wanted, writer)


def spans(body: bytes) -> list[dict[str, Any]]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        {
            "name": span.name,
            "trace_id": span.trace_id.hex(),
            "span_id": span.span_id.hex(),
            "kind": span.kind,
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "status": span.status.code,
            "attributes": {item.key: value_of(item.value) for item in span.attributes},
        }
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [value_of(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)


def reply(writer: asyncio.StreamWriter, message: Any, status: int = 200) -> None:
    text = json.dumps(message).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode()
    )
    writer.write(text)


def completion(wanted: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": wanted["messages"][-1]["content"].split()[-1]}
    return {
        "id": "answer-1",
        "model": "stub-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(1),
    }


def usage(output: int) -> dict[str, Any]:
    return {"prompt_tokens": 7, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 2}}


async def stream(wanted: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    model, count = wanted["model"], wanted["max_tokens"]
    send(writer, chunk({"role": "assistant", "content": ""}))
    size = 4 if model == "four_tokens" else 1
    text = wanted["messages"][-1]["content"].split()[-1] if model == "echo" else None
    for number in range(count // size):
        await asyncio.sleep(began + FIRST_CONTENT_S + number * size * GAP_S - loop.time())
        send(writer, chunk({"content": "w " * size if text is None else text}))
        if model == "breaks" and number == 2:
            writer.close()
            return
        if text is not None:
            break
    await ending(model, count, writer)


async def ending(model: str, count: int, writer: asyncio.StreamWriter) -> None:
    if model == "error_event":
        send(writer, {"error": {"type": "engine_died", "message": "gone"}})
    send(writer, chunk({}, finish="content_filter" if model == "filtered" else "length"))
    send(writer, {"id": "answer-1", "model": "stub-1", "choices": [], "usage": usage(count)})
    if model != "no_done":
        writer.write(framed(b": a comment\n\n") + framed(b"data: [DONE]\n\n"))
    writer.write(b"0\r\n\r\n")


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "answer-1",
        "model": "stub-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def send(writer: asyncio.StreamWriter, message: Any) -> None:
    writer.write(framed(b"data: " + json.dumps(message).encode() + b"\n\n"))


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def main(handler: Callable[..., Awaitable[None]]) -> None:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(serve))
