"""Many large bodies at once: plain, bombs, bodies of nothing but empty parts; messages and open streams over gRPC.

Somebody well-behaved goes on sending all the while; what is watched is the peak of the collector's memory. Words as
arguments choose the floods whose names have one of them.
"""

import gzip
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx

from collector.receiving.grpc_receiver import MAX_STREAMS, SERVICES
from tests.collector.hostile.scene import Sender, collector, lost, resident_mb, said
from tests.collector.payloads import span, traces
from tests.collector.running_collector import PROTOBUF, RunningCollector

AT_ONCE, REQUESTS = 32, 96
MEGABYTE = 1_000_000
GZIP = {**PROTOBUF, "content-encoding": "gzip"}
JSON = {"content-type": "application/json"}


def main() -> None:
    """One flood after the other, each on a collector of its own."""
    text = {f"k{number}": "x" * 8_000 for number in range(100)}
    large = traces([span(number, attributes=text) for number in range(1, 61)]).SerializeToString()
    message = traces([span(number, attributes=text) for number in range(1, 16)]).SerializeToString()
    small = traces([span(number) for number in range(1, 400_001)]).SerializeToString()
    wide = traces([span(number) for number in range(1, 20_001)], text).SerializeToString()
    floods = {
        f"large bodies of {len(large) // MEGABYTE} MB": (large, PROTOBUF),
        f"400,000 spans each in {len(small) // MEGABYTE} MB": (small, PROTOBUF),
        "20,000 spans each under a large resource, gzip": (gzip.compress(wide, 1), GZIP),
        "bombs of 1 GB, gzip": (gzip.compress(bytes(1_000 * MEGABYTE), 9), GZIP),
        "60 MB of empty spans, gzip": (gzip.compress(_wrapped(b"\x12\x00" * 30 * MEGABYTE), 9), GZIP),
        "16 MB of empty JSON objects": (b'{"resourceSpans":[' + b"{}," * 5 * MEGABYTE + b"{}]}", JSON),
    }
    for what, (body, headers) in floods.items():
        if not _chosen(what):
            continue
        with collector() as running:
            _flood(what, running, lambda running=running, body=body, headers=headers: _post(running, body, headers))
    if _chosen("gRPC"):
        with collector("[collector.grpc]\nport = 0\n") as running:
            _flood(f"gRPC messages of {len(large) // MEGABYTE} MB", running, lambda: _export(running, large))
            _flood(f"gRPC messages of {len(message) // MEGABYTE} MB", running, lambda: _export(running, message))
            _flood("gRPC streams that never send", running, lambda: _silent(running))


def _chosen(what: str) -> bool:
    return not sys.argv[1:] or any(word in what for word in sys.argv[1:])


def _flood(what: str, running: RunningCollector, send: Any) -> None:
    before = resident_mb(running)
    with Sender(running.url, first=10**9) as sender, ThreadPoolExecutor(AT_ONCE) as senders:
        answers = Counter(future.result() for future in [senders.submit(send) for _ in range(REQUESTS)])
    said(f"== {REQUESTS} × {what}", dict(answers))
    said("resident before, peak", f"{before}, {resident_mb(running, 'VmHWM')} MB")
    said("the well-behaved one", sender.summary())
    assert not lost(running, sender.acknowledged)
    assert running.http.get("/health").status_code == 200


def _post(running: RunningCollector, body: bytes, headers: dict[str, str]) -> int | str:
    try:
        return httpx.post(f"{running.url}/v1/traces", content=body, headers=headers, timeout=120).status_code
    except httpx.TransportError as error:
        return type(error).__name__


def _address(running: RunningCollector) -> str:
    found = re.search(r"OTLP/gRPC on (\S+)", running.log.read_text())
    assert found
    return found[1]


def _export(running: RunningCollector, body: bytes) -> str:
    with grpc.insecure_channel(_address(running), [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            channel.unary_unary(f"/{SERVICES['traces']}/Export")(body, timeout=120)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _silent(running: RunningCollector) -> str:
    """One connection with as many streams as it may have, none of which ever sends its message."""
    never = iter(threading.Event().wait, None)
    with grpc.insecure_channel(_address(running), [("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.stream_unary(f"/{SERVICES['traces']}/Export")
        calls = [method.future(never, timeout=120) for _ in range(MAX_STREAMS // 8)]
        codes = Counter(call.code().name for call in calls)
    return ", ".join(sorted(codes))


def _wrapped(spans: bytes) -> bytes:
    """As the only scope of the only resource."""
    for tag in (0x12, 0x0A):
        length, head = len(spans), bytearray([tag])
        while length > 0x7F:
            head.append(length & 0x7F | 0x80)
            length >>= 7
        spans = bytes([*head, length]) + spans
    return spans


if __name__ == "__main__":
    main()
