"""Reads the store through the process that owns it: ``POST /v1/query``, Arrow IPC back, connections kept alive."""

import http.client
import json
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pyarrow as pa

from conventions.errors import QueryRefused, StoreError
from store.parameters import plain

_STALE = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError, http.client.CannotSendRequest)


class RemoteReader:
    """A reader over HTTP. Threads share a small pool of kept-alive connections, one per query in flight."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 60.0, max_age_s: int = 0) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._headers = {"Content-Type": "application/json"}
        if max_age_s:
            self._headers["Cache-Control"] = f"max-age={max_age_s}"
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """All rows of ``sql``. Raises ``QueryRefused`` with the server's reason, ``StoreError`` without an answer."""
        body = json.dumps({"sql": sql, "parameters": plain(parameters), "format": "arrow"}).encode()
        try:
            status, answer = self._exchange(body)
        except (OSError, http.client.HTTPException) as error:
            raise StoreError(f"{self._url} does not answer ({error}): is the collector running there?") from error
        if status == 200:
            return pa.ipc.open_stream(answer).read_all()
        raise _refusal(self._url, status, answer)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._send(kept, body)
            except _STALE:  # the server closed it while it was idle; a read-only query may be sent again
                kept.close()
        return self._send(self._connection(), body)

    def _send(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
        try:
            connection.request("POST", f"{self._parts.path.rstrip('/')}/v1/query", body, self._headers)
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return status, answer

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout_s)


def _refusal(url: str, status: int, answer: bytes) -> StoreError:
    message = _message(answer)
    if status in (401, 403):
        return StoreError(f"{url}: {message}: pass the query token")
    if status in (400, 413, 504):
        return QueryRefused(message)
    return StoreError(f"{url} answered {status}: {message}")


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")
