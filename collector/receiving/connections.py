"""HTTP connections within bounds: how many, how large a head, and how long each step may take.

uvicorn bounds none of these: a head that never ends fills memory, a body that never ends or an answer that nobody reads
holds its connection for ever. Where too many are open, the one that has been idle for longest makes room.
"""

import asyncio
import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from collector.counters import Counters
from collector.receiving.posts import Post, Postings
from collector.settings import ConnectionSettings

_log = logging.getLogger(__name__)

IDLE: Final = "idle"
SPARE_FILES: Final = 512  # for the store, its archive, gRPC and whatever else is opened
FEWEST: Final = 64
MAX_HEAD_BYTES: Final = 65_536
MAX_PIPELINED: Final = 64
FRAMING: Final = 2  # a request may be so many times its largest body on the wire: chunks have sizes
TOO_LARGE_HEAD: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 37\r\n\r\nheaders may have 65536 bytes together"
)


def raise_file_limit() -> int:
    """Raise the limit of open files to what the system allows; gives it. A connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


@dataclass(slots=True)
class Connections:
    """All open connections of the HTTP interface; for one event loop."""

    settings: ConnectionSettings
    counters: Counters
    most: int
    max_request: int  # bytes of one request on the wire, its head included
    postings: Postings = field(default_factory=dict)
    open: int = 0
    waiting: "dict[BoundedProtocol, None]" = field(default_factory=dict)  # for a whole head, longest first

    @classmethod
    def within(
        cls, settings: ConnectionSettings, counters: Counters, max_body: int, files: int, postings: Postings
    ) -> "Connections":
        """As many as are configured, and as ``files`` that may be open leave room for."""
        most = max(FEWEST, min(settings.max, files - SPARE_FILES))
        if most < settings.max:
            _log.warning("at most %d connections: %d files may be open; raise ulimit -n", most, files)
        return cls(settings, counters, most, FRAMING * max_body + MAX_HEAD_BYTES, postings)

    def protocol(self) -> Callable[..., Any]:
        """What uvicorn makes one of for every connection."""
        return partial(BoundedProtocol, connections=self)

    def opened(self, one: "BoundedProtocol") -> None:
        """Count one more; over ``most`` the one that has sent no request for longest is closed, else the new one."""
        self.open += 1
        self.counters.connections.set(self.open)
        if self.open > self.most:
            self.close(next(iter(self.waiting), one), "made_room")

    def lost(self, one: "BoundedProtocol") -> None:
        """Count one less."""
        self.open -= 1
        self.waiting.pop(one, None)
        self.counters.connections.set(self.open)

    def close(self, one: "BoundedProtocol", why: str) -> None:
        """End a connection, and count why; nobody waits for the other side of one that is slow."""
        self.waiting.pop(one, None)
        self.counters.closed_connections.labels(why).inc()
        if why == IDLE:
            one.transport.close()
        else:
            one.transport.abort()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines: idle → head → body → answer → idle. An answer may take as long as it takes
    to make; its reader may not."""

    def __init__(self, *arguments: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._connections = connections
        self._deadline: asyncio.TimerHandle | None = None
        self._received = 0  # bytes of the request that is coming in
        self._is_idle = self._in_head = False
        self._post: Post | None = None  # the request that is coming in, if it needs no application

    def connection_made(self, transport: Any) -> None:
        """Idle until its first byte."""
        super().connection_made(transport)
        self._connections.opened(self)
        if not transport.is_closing():
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._cancel()
        if isinstance(self.cycle, Post):
            self.cycle.lost()
        self._connections.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count, parse, and end what never ends."""
        if self._is_idle:
            self._begin()
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._received > MAX_HEAD_BYTES:
            self._connections.counters.closed_connections.labels("large_head").inc()
            self.transport.write(TOO_LARGE_HEAD)
            self.transport.close()
        elif self._received > self._connections.max_request:
            self._connections.close(self, "large_request")

    def on_message_begin(self) -> None:
        """A request begins, perhaps while others of the same connection are being answered."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once on one connection")
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """The head is whole: the body may take its time now."""
        self._in_head = False
        self._connections.waiting.pop(self, None)
        self._wait(self._connections.settings.body_s, "slow_body")
        self._post = self._posted()
        if self._post is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        if self._post is None:
            super().on_body(body)
        else:
            self._post.add(body)

    def on_message_complete(self) -> None:
        """All is here: no deadline until the answer is written."""
        self._cancel()
        self._received = 0
        if self._post is None:
            super().on_message_complete()
        else:
            self._post.finish()
        self._rest_if_done()

    def on_response_complete(self) -> None:
        """Idle again, unless more is on the way."""
        super().on_response_complete()
        self._rest_if_done()

    def pause_writing(self) -> None:
        """The other side does not read its answer."""
        super().pause_writing()
        self._wait(self._connections.settings.answer_s, "slow_reader")

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._cancel()
        self._rest_if_done()

    def _posted(self) -> Post | None:
        """The request whose head is whole, where it needs no application and none is being answered."""
        posting = self._connections.postings.get(self.url)
        if posting is None or self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        busy = self.pipeline or self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete)
        if busy or not self.parser.should_keep_alive() or not posting.takes(self.headers):
            return None
        post = Post(posting, self, posting.intake.admission.ticket())
        self.cycle: Any = post
        return post

    def _begin(self) -> None:
        if not self._in_head:
            self._is_idle, self._in_head = False, True
            self._received = 0
            self._connections.waiting.setdefault(self)
            self._wait(self._connections.settings.head_s, "slow_head")

    def _rest_if_done(self) -> None:
        """Idle if all that came was answered and nothing has a deadline."""
        done = self.cycle is not None and self.cycle.response_complete and not self.pipeline
        if done and self._deadline is None and not self._in_head and not self.transport.is_closing():
            self._rest()

    def _rest(self) -> None:
        self._is_idle = True
        self._connections.waiting[self] = None
        self._wait(self._connections.settings.idle_s, IDLE)

    def _wait(self, seconds: float, why: str) -> None:
        self._cancel()
        self._deadline = self.loop.call_later(seconds, self._connections.close, self, why)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
