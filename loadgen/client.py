"""The client: one chat completion over HTTP, stamped at every step, every way to fail given a short name.

It never raises for what the server does; the outcome is in the ``Exchange``.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import gevent
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from loadgen import sse
from loadgen.exchange import GOOD_FINISH, Exchange
from loadgen.plan import PlannedRequest

PATH: Final = "/v1/chat/completions"


class ChatClient:
    """Sends planned requests over the connections of ``http``; safe to call from many greenlets."""

    def __init__(self, http: HTTPClient, timeout_s: float, *, response_cache: bool = True) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._caching = {} if response_cache else {"cache-control": "no-store"}

    def send(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        """Send the request of ``exchange`` and fill it in until the answer has ended, failed or timed out.

        A kill of the running greenlet ends the request as ``cancelled`` and goes no further.
        """
        try:
            with gevent.Timeout(self._timeout_s):
                self._converse(exchange, {**headers, **self._caching, **_request_headers(exchange.request)})
        except (gevent.Timeout, TimeoutError):
            _interrupt(exchange, "timeout")
        except gevent.GreenletExit:
            _interrupt(exchange, "cancelled")
        except (OSError, HTTPParseError) as error:
            _interrupt(exchange, _connection_error(exchange, error))
        exchange.end_ns = exchange.end_ns or time.perf_counter_ns()
        exchange.error = exchange.error or _protocol_error(exchange)

    def _converse(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        response = self._http.request("POST", PATH, body=exchange.request.body, headers=dict(headers))
        exchange.first_byte_ns = time.perf_counter_ns()
        exchange.status = response.status_code
        if exchange.status == 200 and _is_event_stream(response):
            _read_stream(exchange, response)
        else:
            _read_body(exchange, response)


def _request_headers(request: PlannedRequest) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "text/event-stream" if request.stream else "*/*"}
    if request.key is not None:
        headers["authorization"] = f"Bearer {request.key}"
    return headers


def _is_event_stream(response: HTTPSocketPoolResponse) -> bool:
    return str(response.get("content-type", "")).startswith("text/event-stream")


def _read_stream(exchange: Exchange, response: HTTPSocketPoolResponse) -> None:
    parts: list[str] = []
    for stamp_ns, data in sse.events(response):
        if data == b"[DONE]":
            exchange.complete, exchange.end_ns = True, stamp_ns
            continue  # the rest of the body must be read, or the connection cannot be used again
        if (chunk := _json(exchange, data)) is not None:
            _take_chunk(exchange, stamp_ns, chunk, parts)
    exchange.text = "".join(parts)


def _take_chunk(exchange: Exchange, stamp_ns: int, chunk: dict[str, Any], parts: list[str]) -> None:
    _take_common(exchange, chunk)
    for choice in _choices(chunk):
        delta = _object(choice.get("delta"))
        # Reasoning and tool calls are tokens that the model made; the role chunk has none of the three.
        if delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"):
            exchange.content_ns.append(stamp_ns)
            parts.append(delta.get("content") or "")
        exchange.finish_reason = choice.get("finish_reason") or exchange.finish_reason


def _read_body(exchange: Exchange, response: HTTPSocketPoolResponse) -> None:
    body = response.read()
    exchange.end_ns = time.perf_counter_ns()
    if exchange.status != 200:
        exchange.error = str(exchange.status)
        return
    if (answer := _json(exchange, body)) is not None:
        exchange.complete = True
        _take_common(exchange, answer)
        for choice in _choices(answer):
            exchange.text = _object(choice.get("message")).get("content") or ""
            exchange.finish_reason = choice.get("finish_reason")


def _take_common(exchange: Exchange, message: dict[str, Any]) -> None:
    exchange.response_id = message.get("id") or exchange.response_id
    exchange.response_model = message.get("model") or exchange.response_model
    if error := message.get("error"):
        exchange.error = str(error.get("type") or "stream_error") if isinstance(error, dict) else "stream_error"
    if usage := _object(message.get("usage")):
        exchange.input_tokens = usage.get("prompt_tokens")
        exchange.output_tokens = usage.get("completion_tokens")
        exchange.cached_tokens = _object(usage.get("prompt_tokens_details")).get("cached_tokens")


def _choices(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [_object(choice) for choice in message.get("choices") or ()]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(exchange: Exchange, data: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    exchange.error = "bad_json"
    return None


def _interrupt(exchange: Exchange, kind: str) -> None:
    # After [DONE] the answer is whole; how the connection ends is nobody's loss.
    exchange.error = exchange.error if exchange.complete else kind


def _connection_error(exchange: Exchange, error: OSError | HTTPParseError) -> str:
    if exchange.first_byte_ns is not None:
        return "broken_stream"
    return "connection_refused" if isinstance(error, ConnectionRefusedError) else "connection_failed"


def _protocol_error(exchange: Exchange) -> str | None:
    if not exchange.complete:
        return "broken_stream"
    return None if exchange.finish_reason in GOOD_FINISH else "bad_finish_reason"
