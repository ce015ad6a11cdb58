"""Server-sent events: cut a byte stream into whole events without changing a byte of them (WHATWG HTML §9.2)."""

import re

MAX_EVENT_BYTES = 4 * 1024 * 1024
DONE = b"[DONE]"

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class EventSplitter:
    """Collects bytes and gives back every event that is complete, with the blank line that ends it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ``data`` completes, in order; together with ``rest`` they are the input, byte for byte."""
        buffer = self._rest + data if self._rest else data
        events, start = [], 0
        for boundary in _BOUNDARY.finditer(buffer):
            events.append(buffer[start : boundary.end()])
            start = boundary.end()
        self._rest = buffer[start:]
        return events

    @property
    def rest(self) -> bytes:
        """Bytes of an event that is not complete."""
        return self._rest

    @property
    def is_overfull(self) -> bool:
        """An event has grown beyond any that the protocol knows."""
        return len(self._rest) > MAX_EVENT_BYTES


def payload(event: bytes) -> bytes:
    """The data of one event; empty for comments and for events without data."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:].strip()
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def event(data: bytes) -> bytes:
    """One event with ``data``, which has no line break."""
    return b"data: " + data + b"\n\n"
