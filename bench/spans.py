"""OTLP requests of gateway and engine spans for benchmarks, and senders that post them."""

import http.client
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

CONNECTIONS = 4
OVERLOADED, RETRY_AFTER_S = 503, 0.1  # as OTLP asks of a sender; the wait counts as latency
HEADERS = {"content-type": "application/x-protobuf"}
MARK = b"\xa5\x5a\xc3\x3c"  # in every id of a request; random bytes take its place, so that no two requests share ids
RESOURCES = (
    {"service.name": "tokenjoule-gateway", "service.version": "0.1.0", "host.name": "rack-7", "process.pid": "4711"},
    {"service.name": "vllm-large", "service.version": "0.32.0", "host.name": "rack-7", "process.pid": "4712"},
)


class Requests:
    """Bodies of ``count`` spans of about 450 B, half a gateway's and half stock vLLM's, in calls of two; endless."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._template = _template(count)
        self.size = len(self._template) / count

    def take(self, number: int) -> list[bytes]:
        """``number`` bodies with ids of their own."""
        return [self._template.replace(MARK, secrets.token_bytes(len(MARK))) for _ in range(number)]


def _template(count: int) -> bytes:
    request = ExportTraceServiceRequest()
    gateway, engine = (_scope(request, *of) for of in zip(RESOURCES, ("tokenjoule.gateway", "vllm"), strict=True))
    for index in range(count):
        call = MARK + (index // 2 + 1).to_bytes(12, "big")
        if index % 2:
            _engine_span(_span(engine, call, b"\x02", parent=b"\x01"), index)
        else:
            _gateway_span(_span(gateway, call, b"\x01"), index)
    return bytes(request.SerializeToString())


def _scope(request: Any, resource: dict[str, str], scope: str) -> Any:
    resource_spans = request.resource_spans.add()
    _attributes(resource_spans.resource, resource)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = scope
    return scope_spans.spans


def _span(spans: Any, call: bytes, layer: bytes, parent: bytes = b"") -> Any:
    now_ns = time.time_ns()
    ids = MARK + call[-3:]
    return spans.add(
        trace_id=call,
        span_id=ids + layer,
        parent_span_id=ids + parent if parent else b"",
        start_time_unix_nano=now_ns - 10**9,
        end_time_unix_nano=now_ns,
        kind=2,
    )


def _gateway_span(span: Any, index: int) -> None:
    span.name = "chat scout"
    _attributes(span, {
        "tokenjoule.role": "gateway", "gen_ai.operation.name": "chat", "gen_ai.request.model": "scout",
        "gen_ai.usage.input_tokens": 120 + index, "gen_ai.usage.output_tokens": index, "tokenjoule.tenant": "acme",
        "tokenjoule.tier": "interactive", "gen_ai.request.stream": True, "http.response.status_code": 200,
        "gen_ai.response.id": f"chatcmpl-{index:024x}", "url.path": "/v1/chat/completions",
    })  # fmt: skip


def _engine_span(span: Any, index: int) -> None:
    span.name = "llm_request"
    _attributes(span, {
        "gen_ai.request.id": f"chatcmpl-{index:024x}", "gen_ai.request.max_tokens": 256,
        "gen_ai.usage.prompt_tokens": 120 + index, "gen_ai.usage.completion_tokens": index,
        "gen_ai.latency.time_in_queue": 0.012, "gen_ai.latency.time_in_model_prefill": 0.034,
        "gen_ai.latency.time_in_model_decode": 0.78, "gen_ai.latency.time_to_first_token": 0.05,
        "gen_ai.latency.e2e": 0.9,
    })  # fmt: skip


def _attributes(owner: Any, pairs: dict[str, Any]) -> None:
    for key, item in pairs.items():
        value = owner.attributes.add(key=key).value
        kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(item)]
        setattr(value, kind, item)


def post_all(port: int, bodies: list[bytes], rate: float = 0.0, headers: dict[str, str] | None = None) -> list[float]:
    """Post over ``CONNECTIONS`` connections; seconds until each answer.

    As fast as they are answered, or at ``rate`` bodies per second; then seconds count from when each was due, so that a
    server that stalls does not slow its own clock.
    """
    latencies: list[float] = []
    waiting = iter(enumerate(bodies))
    lock, began = threading.Lock(), time.perf_counter()
    sent_headers = {**HEADERS, **(headers or {})}
    arguments = (port, waiting, lock, began, rate, latencies, sent_headers)
    threads = [threading.Thread(target=_post, args=arguments) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(latencies) == len(bodies), f"{len(bodies) - len(latencies)} of {len(bodies)} POSTs were not acknowledged"
    return latencies


def _post(
    port: int,
    waiting: Iterator[tuple[int, bytes]],
    lock: threading.Lock,
    began: float,
    rate: float,
    latencies: list[float],
    headers: dict[str, str],
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    while True:
        with lock:
            place, body = next(waiting, (-1, b""))
        if place < 0:
            return
        due = began + place / rate if rate else time.perf_counter()
        time.sleep(max(0.0, due - time.perf_counter()))
        while (status := _answered(connection, body, headers)) == OVERLOADED:
            time.sleep(RETRY_AFTER_S)
        assert status == 200, status
        latencies.append(time.perf_counter() - due)


def _answered(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> int:
    connection.request("POST", "/v1/traces", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status
