"""Server-sent events of one answer."""

from collections.abc import Mapping

import msgspec
from starlette.types import Send

from serving.engine.api import problems
from serving.engine.api.answers import Envelope, Json, Writer, usage
from serving.engine.sequence import Delta
from serving.engine.service import Generation

DONE = b"data: [DONE]\n\n"
CONTENT_TYPE = "text/event-stream; charset=utf-8"


async def send_events(
    generation: Generation,
    writer: Writer,
    envelope: Envelope,
    send: Send,
    headers: Mapping[str, str],
    *,
    usage_last: bool,
) -> None:
    """Answer with events until the engine is done with the request.

    The status line waits for the first delta, so that a request which fails before it gets an honest status: then
    ``Problem`` is raised and nothing has been sent. Deltas that arrived together leave in one write.
    """
    started = False
    async for deltas in generation.deltas():
        if not started:
            raise_unless_answering(deltas[0])
            await send(start(200, {**headers, "content-type": CONTENT_TYPE, "cache-control": "no-cache"}))
            started = True
        objects = [one for delta in deltas for one in writer.chunks(generation.sequence, delta)]
        if objects:
            await send(part(b"".join(map(frame, objects))))
    await send(part(_ending(generation, writer, envelope, usage_last=usage_last), more=False))


def raise_unless_answering(delta: Delta) -> None:
    """Raise the ``Problem`` of a request that ended without an answer."""
    if delta.outcome == "failed":
        raise problems.engine_failed()
    if delta.outcome == "cancelled":
        raise problems.cancelled()


def start(status: int, headers: Mapping[str, str]) -> Json:
    """The ASGI message that begins a response."""
    listed = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": listed}


def part(body: bytes, *, more: bool = True) -> Json:
    """An ASGI body message."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def frame(document: Json) -> bytes:
    """One event."""
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _ending(generation: Generation, writer: Writer, envelope: Envelope, *, usage_last: bool) -> bytes:
    sequence = generation.sequence
    if sequence.outcome != "answered":
        problem = problems.engine_failed() if sequence.outcome == "failed" else problems.cancelled()
        return b"data: " + problem.body + b"\n\n" + DONE
    if usage_last:
        return frame(envelope.wrap(writer.chunk_kind, [], usage(sequence))) + DONE
    return DONE
