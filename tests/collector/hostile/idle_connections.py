"""Ten thousand connections that do nothing, then as many that send half a head, then 2,000 idle ones over gRPC.

Somebody well-behaved goes on sending all the while. Needs ``ulimit -n`` of 20,000 for this process and the collector's.
"""

import re
import socket
import time
from contextlib import suppress

from collector.receiving.connections import raise_file_limit
from tests.collector.hostile.scene import Sender, collector, lost, resident_mb, said
from tests.collector.running_collector import RunningCollector

HTTP_CONNECTIONS, GRPC_CONNECTIONS = 10_000, 2_000
WATCHED_S = 15.0


def main() -> None:
    """HTTP, then gRPC."""
    said("files that may be open", raise_file_limit())
    with collector("[collector.grpc]\nport = 0\n") as running:
        said("resident before", f"{resident_mb(running)} MB")
        address = running.url.removeprefix("http://")
        _hold("connections that send nothing", running, address, HTTP_CONNECTIONS, b"")
        _hold("connections with half a head", running, address, HTTP_CONNECTIONS, b"POST /v1/traces HTTP/1.1\r\nhost:")
        found = re.search(r"OTLP/gRPC on (\S+)", running.log.read_text())
        assert found
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty SETTINGS
        _hold("gRPC connections without exports", running, found[1], GRPC_CONNECTIONS, preface)
        _hold("gRPC connections that say nothing", running, found[1], GRPC_CONNECTIONS, b"")


def _hold(what: str, running: RunningCollector, address: str, count: int, first: bytes) -> None:
    host, _, port = address.rpartition(":")
    began, made = time.monotonic(), []
    with Sender(running.url, first=1 + int(time.time_ns() % 10**12) * 1_000) as sender:
        for _ in range(count):
            made.append(one := socket.create_connection((host, int(port)), timeout=60))
            if first:
                one.sendall(first)
        said(f"== {len(made)} {what}", f"opened in {time.monotonic() - began:.1f} s")
        time.sleep(WATCHED_S)
        said("resident", f"{resident_mb(running)} MB")
        said("still open after a while", sum(_is_open(one) for one in made))
        said("/health", running.http.get("/health").json()["status"])
        for one in made:
            one.close()
    said("the well-behaved one", sender.summary())
    said("lost of it", missing := lost(running, sender.acknowledged))
    assert not missing
    assert not sender.broken
    assert sender.acknowledged


def _is_open(one: socket.socket) -> bool:
    one.setblocking(False)
    with suppress(BlockingIOError):
        try:
            while data := one.recv(4_096):
                assert data
        except ConnectionError:
            return False
        return False
    return True


if __name__ == "__main__":
    main()
