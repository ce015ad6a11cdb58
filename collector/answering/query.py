"""``POST /v1/query``: one read-only statement over HTTP as Arrow IPC, JSON or CSV, stopped when the client leaves."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from collector.answering.answering import CLIENT_LEFT, CONCURRENT_QUERIES, answered
from collector.receiving.access import allowed
from conventions.errors import MalformedPayload, PayloadTooLarge, QueryRefused
from store.limits import Limits, TimeLimitExceeded
from store.writing import Store

Endpoint = Callable[[Request], Awaitable[Response]]
Body = TypeVar("Body", bound=msgspec.Struct)

MAX_BODY_BYTES: Final = 1_048_576


class Query(msgspec.Struct, frozen=True):
    """The body of a query."""

    sql: str
    parameters: dict[str, Any] = {}
    format: Literal["arrow", "json", "csv"] = "arrow"


def query_endpoint(
    store: Store, limits: Limits, token: str | None = None, slots: anyio.CapacityLimiter | None = None
) -> Endpoint:
    """The endpoint. Answers 400 with the reason for SQL that is refused, 401, 413, and 504 at the time limit."""
    shared = slots or anyio.CapacityLimiter(CONCURRENT_QUERIES)

    async def query(request: Request) -> Response:
        if not allowed(request, token):
            return unauthorised()
        try:
            asked = decoded(await bounded_body(request, MAX_BODY_BYTES), Query)
            return await answered(store.untrusted(asked.sql, asked.parameters, limits), asked.format, request, shared)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except (PayloadTooLarge, MalformedPayload, QueryRefused) as error:
            return refusal(status_of(error), str(error))

    return query


def unauthorised() -> Response:
    """401 with what is missing."""
    return JSONResponse(
        {"error": "a valid bearer token is required"}, status_code=401, headers={"WWW-Authenticate": "Bearer"}
    )


def refusal(status: int, reason: str) -> Response:
    """``reason`` as JSON under ``error``."""
    return JSONResponse({"error": reason}, status_code=status)


async def bounded_body(request: Request, limit: int) -> bytes:
    """The body. Raises ``PayloadTooLarge`` as soon as it is over ``limit`` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise PayloadTooLarge(f"the body is larger than {limit} bytes")
    return bytes(body)


def decoded(body: bytes, kind: type[Body]) -> Body:
    """``body`` as ``kind``. Raises ``MalformedPayload`` naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedPayload(f"body: {error}") from None


def status_of(error: Exception) -> int:
    """The HTTP status of a query that was not answered."""
    if isinstance(error, PayloadTooLarge):
        return 413
    return 504 if isinstance(error, TimeLimitExceeded) else 400
