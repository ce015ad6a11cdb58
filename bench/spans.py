"""OTLP requests for benchmarks, and senders that post them."""

import http.client
import random
import re
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.emitters import MIXED, PLAIN, Emitter, attributes

CONNECTIONS = 4
OVERLOADED, RETRY_AFTER_S = 503, 0.1  # as OTLP asks of a sender; the wait counts as latency
HEADERS = {"content-type": "application/x-protobuf"}
MARK = b"\xa5\x5a\xc3\x3c"  # in every id of a request; random bytes take its place, so that no two requests share ids
TIME_MARK = b"\x1a\x5a\xc3\x3c\x5a"
"""Ends the times of a template; the three bytes before say how many microseconds before its sending that time is.

Spans that all began in the same second would be settled as one bucket that grows for as long as the load lasts.
"""
TEMPLATES = 16  # bodies of different values; only ids and times are new in each that is sent


class Requests:
    """Bodies of ``count`` spans of about 450 B, in calls of two; endless.

    ``mixed``: of eight emitters that build fourteen kinds of spans, a fifth of which are no model calls; otherwise half
    a gateway's and half stock vLLM's. Names, ids, counts and times differ from span to span in value and length.
    """

    def __init__(self, count: int, *, mixed: bool = False, seed: int = 0) -> None:
        self.count = count
        chance = random.Random(seed)
        self._templates = [_template(count, MIXED if mixed else PLAIN, chance) for _ in range(TEMPLATES)]
        self.size = sum(map(len, self._templates)) / count / TEMPLATES

    def take(self, number: int) -> list[bytes]:
        """``number`` bodies with ids of their own, to be ``stamped`` when they are sent."""
        return [self._templates[at % TEMPLATES].replace(MARK, secrets.token_bytes(len(MARK))) for at in range(number)]


def stamped(body: bytes) -> bytes:
    """``body`` with spans that ended now."""
    now_ns, found = time.time_ns(), bytearray(body)
    for mark in re.finditer(re.escape(TIME_MARK), body):
        first = mark.start() - 3
        before_us = int.from_bytes(body[first : first + 3], "little")
        found[first : first + 8] = (now_ns - before_us * 1000).to_bytes(8, "little")
    return bytes(found)


def _before(microseconds: int) -> int:
    return int.from_bytes(microseconds.to_bytes(3, "little") + TIME_MARK, "little")


def _template(count: int, emitters: tuple[Emitter, ...], chance: random.Random) -> bytes:
    request = ExportTraceServiceRequest()
    scopes = [_scope(request, emitter) for emitter in emitters]
    for index in range(count):
        at = index % len(emitters) if len(emitters) == 2 else chance.randrange(len(emitters))
        call = MARK + (index // 2 + 1).to_bytes(12, "big")
        emitters[at].fill(_span(scopes[at], call, index % 2, chance), chance)
    return bytes(request.SerializeToString())


def _scope(request: Any, emitter: Emitter) -> Any:
    resource_spans = request.resource_spans.add()
    attributes(resource_spans.resource, emitter.resource)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = emitter.scope
    return scope_spans.spans


def _span(spans: Any, call: bytes, layer: int, chance: random.Random) -> Any:
    ids = MARK + call[-3:]
    return spans.add(
        trace_id=call,
        span_id=ids + bytes([layer + 1]),
        parent_span_id=ids + b"\x01" if layer else b"",
        start_time_unix_nano=_before(chance.randrange(10**5, 10**7)),
        end_time_unix_nano=_before(0),
        kind=2,
    )


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
        body = stamped(body)
        while (status := _answered(connection, body, headers)) == OVERLOADED:
            time.sleep(RETRY_AFTER_S)
        assert status == 200, status
        latencies.append(time.perf_counter() - due)


def _answered(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> int:
    connection.request("POST", "/v1/traces", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status
