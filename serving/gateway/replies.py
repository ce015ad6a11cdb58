"""Answers that the gateway gives itself: JSON and OpenAI-shaped errors over ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]


@dataclass(slots=True, eq=False)
class ApiError(Exception):
    """An error for the client: ``error_type`` is for the span, ``code`` and ``param`` are for OpenAI's clients."""

    status: int
    message: str
    error_type: str
    code: str | None = None
    param: str | None = None
    headers: list[Header] = field(default_factory=list)

    def body(self) -> bytes:
        """The JSON that OpenAI's clients turn into an exception."""
        kind = "invalid_request_error" if self.status < 500 else "api_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code or self.error_type}
        return msgspec.json.encode({"error": error})


def invalid_request(message: str, param: str | None = None) -> ApiError:
    """400: the body cannot be used; ``param`` names the field."""
    return ApiError(400, message, "invalid_request", param=param)


def invalid_key() -> ApiError:
    """401: no key, or one that nobody has."""
    message = "missing or wrong API key: send it as 'Authorization: Bearer <key>'"
    return ApiError(401, message, "invalid_api_key", headers=[(b"www-authenticate", b"Bearer")])


def unknown_model(message: str) -> ApiError:
    """404: nobody serves the model."""
    return ApiError(404, message, "model_not_found", param="model")


def too_large(limit_bytes: int) -> ApiError:
    """413: the body is over the limit."""
    return ApiError(413, f"the request body is larger than {limit_bytes} bytes", "request_too_large")


async def send_bytes(send: Send, status: int, body: bytes, content_type: bytes, headers: list[Header]) -> None:
    """One whole response."""
    start = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: Any, status: int = 200) -> None:
    """``value`` as JSON."""
    await send_bytes(send, status, msgspec.json.encode(value), b"application/json", [])


async def send_error(send: Send, error: ApiError, headers: list[Header]) -> None:
    """``error`` in the shape of OpenAI's."""
    await send_bytes(send, error.status, error.body(), b"application/json", [*error.headers, *headers])
