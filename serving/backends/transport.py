"""Sends one call to one backend over a shared HTTP/1.1 connection pool and maps every failure once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from serving.backends import failures
from serving.backends.fleet import Backend

KEEP_ALIVE_S = (
    4.0  # below the 5 s after which uvicorn, and so vLLM, closes idle connections: no POST meets a closed one
)
MAX_ERROR_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to make a connection, and seconds of silence that are borne while an answer is awaited."""

    connect_s: float
    read_s: float


class Reply:
    """A backend's answer with a good status; ``close`` drops the connection, which cancels unfinished work there."""

    def __init__(self, backend: Backend, response: aiohttp.ClientResponse, timeouts: Timeouts) -> None:
        self._backend, self._response, self._timeouts = backend, response, timeouts

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return self._response.content_type == "text/event-stream"

    @property
    def content_type(self) -> str:
        """The media type with its parameters."""
        return self._response.headers.get("Content-Type", "application/json")

    async def read(self) -> bytes:
        """The whole body. Raises ``AttemptFailed``."""
        with _mapped(self._backend, self._timeouts):
            return await self._response.read()

    async def read_some(self) -> bytes:
        """What has arrived since the last call, at least one byte; empty at the end. Raises ``AttemptFailed``."""
        with _mapped(self._backend, self._timeouts):
            return await self._response.content.readany()

    def close(self) -> None:
        """Give the connection back when the answer was read to its end, close it otherwise."""
        _finish(self._response)


class Transport:
    """The connection pool, shared by all backends; an asynchronous context manager."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._timeouts.connect_s, sock_read=self._timeouts.read_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),  # answers must be readable as they pass
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, backend: Backend, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send ``body`` and wait for the status. Raises ``AttemptFailed`` for anything but a status below 400."""
        assert self._session is not None, "enter the transport before using it"
        with _mapped(backend, self._timeouts):
            response = await self._session.post(
                backend.base_url + path, data=body, headers=_with_key(headers, backend), allow_redirects=False
            )
        if response.status >= 300:
            raise await _error_answer(backend, response, self._timeouts)
        return Reply(backend, response, self._timeouts)

    async def probe(self, backend: Backend, timeout_s: float) -> None:
        """Ask for ``/health`` and note whether the backend answers; any status below 500 counts as an answer."""
        assert self._session is not None, "enter the transport before using it"
        try:
            async with self._session.get(
                f"{backend.base_url}/health", timeout=aiohttp.ClientTimeout(total=timeout_s)
            ) as response:
                healthy, why = response.status < 500, f"health check answered {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            healthy, why = False, f"health check failed: {type(error).__name__}"
        if healthy:
            backend.mark_reachable()
        else:
            backend.mark_unreachable(why)


def _with_key(headers: Mapping[str, str], backend: Backend) -> Mapping[str, str]:
    if backend.api_key is None:
        return headers
    return {**headers, "Authorization": f"Bearer {backend.api_key}"}


async def _error_answer(
    backend: Backend, response: aiohttp.ClientResponse, timeouts: Timeouts
) -> failures.AttemptFailed:
    with _mapped(backend, timeouts):
        body = await _read_at_most(response.content, MAX_ERROR_BODY)
    _finish(response)
    headers = response.headers
    content_type = headers.get("Content-Type", "application/json")
    return failures.status_answer(backend.name, response.status, body, content_type, headers.get("Retry-After"))


async def _read_at_most(content: aiohttp.StreamReader, limit: int) -> bytes:
    body = b""
    while len(body) < limit and (part := await content.readany()):
        body += part
    return body[:limit]


def _finish(response: aiohttp.ClientResponse) -> None:
    if response.content.is_eof():
        response.release()
    else:
        response.close()


@contextmanager
def _mapped(backend: Backend, timeouts: Timeouts) -> Iterator[None]:
    """aiohttp's exceptions as ours."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise failures.connect_timeout(backend.name, timeouts.connect_s) from error
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        raise failures.read_timeout(backend.name, timeouts.read_s) from error
    except aiohttp.ClientConnectorError as error:
        resolved = not isinstance(error, aiohttp.ClientConnectorDNSError)
        raise failures.unreachable(backend.name, resolved=resolved) from error
    except (aiohttp.ClientError, OSError) as error:
        raise failures.connection_lost(backend.name, type(error).__name__) from error
