"""OTLP posts answered by their connection: what most senders send, small and whole, without an ASGI application.

The application costs a task, a scope, an event and three messages per request, as much as a small body's checking and
spooling. What is unusual about a request (its length, encoding, framing or token) goes through the application.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from collector.decoding import encoding
from collector.decoding.batch import Batch
from collector.decoding.signals import Signal
from collector.receiving.admission import Ticket
from collector.receiving.intake import Intake, Sent, read
from collector.receiving.receive import accepted, refused_for
from conventions.errors import IngestError, Overloaded, StoreError

_log = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]
MOST_BYTES: Final = 65_536
"""So much uvicorn keeps of a body before it stops reading; what is larger is worth a task of its own."""
UNUSUAL: Final = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
PROTOBUF: Final = encoding.SPOKEN[encoding.PROTOBUF]
NOTHING_TO_SAY: Final = ((b"content-length", b"0"), (b"content-type", encoding.PROTOBUF.encode()))
FAILED: Final = b"Internal Server Error"
NOBODY_WAITS: Final = asyncio.Event()


@dataclass(frozen=True, slots=True)
class Posting:
    """Where posts to one path go."""

    signal: Signal
    intake: Intake

    def takes(self, headers: Headers) -> bool:
        """Whether a request with these headers is one of those that are answered here."""
        told = dict(headers)
        length = told.get(b"content-length", b"")
        return (
            len(told) == len(headers)
            and told.keys().isdisjoint(UNUSUAL)
            and told.get(b"content-type") == NOTHING_TO_SAY[1][1]
            and length.isdigit()
            and len(length) <= len(str(MOST_BYTES))
            and int(length) <= MOST_BYTES
            and self.intake.door.refusal(told.get(b"authorization", b"").decode("latin-1")) is None
        )


@dataclass(slots=True, eq=False)
class Post:
    """One request under way. uvicorn's protocol takes it for one of its cycles of request and response."""

    posting: Posting
    protocol: Any  # the connection: an ``HttpToolsProtocol``
    ticket: Ticket
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True
    disconnected: bool = False
    response_complete: bool = False
    message_event: asyncio.Event = NOBODY_WAITS
    _error: Overloaded | None = None

    def add(self, part: bytes) -> None:
        """A part of the body."""
        try:
            self.ticket.take(len(part))
            self.body += part
        except Overloaded as error:
            self._error = error

    def lost(self) -> None:
        """The connection is gone. What is being spooled stays spooled."""
        self.disconnected = True
        self.ticket.give_back()

    def finish(self) -> None:
        """The body is whole: spool it, and answer when it is on disk."""
        intake, signal = self.posting.intake, self.posting.signal
        peer = self.protocol.client[0] if self.protocol.client else ""
        try:
            if self._error:
                raise self._error
            sent = Sent(bytes(self.body), "", PROTOBUF, time.time_ns(), peer)
            record, batch = read(signal, sent, intake.max_body)
            intake.counters.count(signal.name, batch)
            spooled = intake.pipeline.submit(record) if batch.accepted else None
        except (IngestError, StoreError) as error:
            self._refuse(error, peer)
        except Exception:  # noqa: BLE001  our own mistake: its sender is told, as by an application's server
            _log.exception("a request could not be read")
            self._answer(500, ((b"content-length", b"%d" % len(FAILED)),), FAILED)
        else:
            if spooled is None:
                self._accept(batch)
            else:
                told = partial(self._stored, batch, peer)
                spooled.add_done_callback(partial(self.protocol.loop.call_soon_threadsafe, told))

    def _stored(self, batch: Batch, peer: str, spooled: "Future[None]") -> None:
        error = spooled.exception()
        if error is None:
            self._accept(batch)
        else:
            assert isinstance(error, StoreError)
            self._refuse(error, peer)

    def _accept(self, batch: Batch) -> None:
        if not batch.refusals.count and not batch.passed_over:
            self._answer(200, NOTHING_TO_SAY, b"")
        else:
            answer = accepted(self.posting.signal, batch, PROTOBUF)
            self._answer(answer.status_code, answer.raw_headers, bytes(answer.body))

    def _refuse(self, error: IngestError | StoreError, peer: str) -> None:
        answer = refused_for(self.posting.intake, PROTOBUF, error, peer)
        self._answer(answer.status_code, answer.raw_headers, bytes(answer.body))

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.response_complete = True
        self.ticket.give_back()
        if self.disconnected:
            return
        protocol = self.protocol
        told = [*protocol.server_state.default_headers, *headers]
        if not self.keep_alive:
            told.append((b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % one for one in told])
        protocol.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], lines, body))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


Postings = Mapping[bytes, Posting]
"""By path."""
