"""An untrusted query as an HTTP answer: pulled piece by piece, so that memory is bounded by what the client takes.

A query that runs or streams holds one of few slots; a client that leaves ends its query and frees the slot.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Final

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from store.formats import FORMATS
from store.limits import QueryCancelled
from store.untrusted import UntrustedQuery

CONCURRENT_QUERIES: Final = 4
"""Queries run at once; further ones wait, so that readers cannot take every thread from ingestion."""
BUFFERED_BYTES: Final = 4 * 2**20
"""Up to here an answer is whole, so that whatever goes wrong still has a status."""
CLIENT_LEFT: Final = 499
"""nginx's status for it; nobody reads it."""

Pieces = Generator[bytes, None, None]
Free = Callable[[], None]


async def answered(query: UntrustedQuery, form: str, request: Request, slots: anyio.CapacityLimiter) -> Response:
    """The rows of ``query`` in ``form``. Raises ``QueryRefused`` for what fails before the answer has begun.

    Beyond ``BUFFERED_BYTES`` it is a stream; one that fails later is cut off, and its reader sees it is not whole.
    """
    pieces, owner = _pieces(query, form), object()
    work = asyncio.ensure_future(_begun(pieces, slots, owner))
    leaving = asyncio.ensure_future(_left(request))
    streaming = False
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            query.cancel()
        head, streaming = await work
    except QueryCancelled:
        return Response(status_code=CLIENT_LEFT)
    finally:
        leaving.cancel()
        if not streaming:
            query.cancel()
            _release(slots, owner)
    media_type = FORMATS[form][1]
    if not streaming:
        return Response(head, media_type=media_type)
    return _Stream(head, media_type, query, pieces, lambda: _release(slots, owner))


def _pieces(query: UntrustedQuery, form: str) -> Pieces:
    yield from FORMATS[form][0](query.tables())


async def _begun(pieces: Pieces, slots: anyio.CapacityLimiter, owner: object) -> tuple[bytes, bool]:
    """The first bytes, and whether there are more."""
    await slots.acquire_on_behalf_of(owner)
    return await anyio.to_thread.run_sync(_head, pieces)


def _head(pieces: Pieces) -> tuple[bytes, bool]:
    head, size = [], 0
    for piece in pieces:
        head.append(piece)
        size += len(piece)
        if size > BUFFERED_BYTES:
            return b"".join(head), True
    return b"".join(head), False


class _Stream(StreamingResponse):
    """The rest of an answer; whether it is read to its end or not, its query ends and its slot is freed."""

    def __init__(self, head: bytes, media_type: str, query: UntrustedQuery, pieces: Pieces, free: Free) -> None:
        super().__init__(self._body(head), media_type=media_type)
        self._query = query
        self._pieces = pieces
        self._free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._query.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._pieces.close)
            self._free()

    async def _body(self, head: bytes) -> AsyncIterator[bytes]:
        yield head
        while (piece := await self._next()) is not None:
            yield piece

    async def _next(self) -> bytes | None:
        step = asyncio.ensure_future(anyio.to_thread.run_sync(_next, self._pieces))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            self._query.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait((step,))
            step.exception()  # it was interrupted: nobody is left to hear of it
            raise


def _next(pieces: Pieces) -> bytes | None:
    return next(pieces, None)


def _release(slots: anyio.CapacityLimiter, owner: object) -> None:
    if owner in slots.statistics().borrowers:
        slots.release_on_behalf_of(owner)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
