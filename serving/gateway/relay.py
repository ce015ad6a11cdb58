"""Passes a backend's answer on to the client, event by event, and watches it go by."""

import time

import msgspec

from serving.backends import failures
from serving.backends.transport import Reply
from serving.gateway import sse
from serving.gateway.call import Call, Delivery

MAX_RECORDED_BYTES = 4 * 1024 * 1024  # a chunk around one token is some 200 bytes; kept are the tokens only


class Recording:
    """The parts of an answer for the cache: one body, or the events of a stream. Gives up on one that is too large."""

    def __init__(self, *, wanted: bool) -> None:
        self.parts: list[bytes] | None = [] if wanted else None
        self.streamed = False
        self._size = 0

    def add(self, part: bytes) -> None:
        """Keep one part."""
        if self.parts is None:
            return
        self._size += len(part)
        if self._size <= MAX_RECORDED_BYTES:
            self.parts.append(part)
        else:
            self.parts = None


async def body(reply: Reply, call: Call, delivery: Delivery, recording: Recording, name: str) -> None:
    """A whole JSON answer. Raises ``AttemptFailed`` before anything was delivered."""
    data = await reply.read()
    try:
        call.observation.see_body(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise failures.out_of_protocol(name, str(error)) from None
    recording.add(data)
    await delivery.whole(data, reply.content_type)


async def stream(reply: Reply, call: Call, delivery: Delivery, recording: Recording, name: str) -> None:
    """A stream of events, each passed on unchanged when it is complete. Raises ``AttemptFailed``.

    A usage chunk that only the gateway asked for is left out.
    """
    assert call.ask is not None
    recording.streamed = True
    splitter, strip = sse.EventSplitter(), not call.ask.include_usage
    while data := await reply.read_some():
        if visible := _visible(splitter.feed(data), call, recording, strip):
            await delivery.piece(visible, reply.content_type)
        if splitter.is_overfull:
            raise failures.out_of_protocol(name, f"an event of more than {sse.MAX_EVENT_BYTES} bytes")
    if not (call.observation.done or call.observation.finishes):
        raise failures.connection_lost(name, "the stream ended without a finish reason")
    if splitter.rest:
        await delivery.piece(splitter.rest, reply.content_type)
    await delivery.end()


def _visible(events: list[bytes], call: Call, recording: Recording, strip: bool) -> bytes:
    """What of ``events`` the client sees, in one piece."""
    now_s, shown = time.perf_counter(), []
    for event in events:
        recording.add(event)
        only_usage = call.observation.see_event(event, now_s)
        if not (only_usage and strip):
            shown.append(event)
    return shown[0] if len(shown) == 1 else b"".join(shown)
