"""Connections that never send, never end or never read are closed in time, and everybody else is served meanwhile."""

import gzip
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.collector.payloads import span, traces
from tests.collector.running_collector import RunningCollector, started

LIMITS = "[collector.connections]\nmax = 64\nidle_s = 2.0\nhead_s = 1.0\nbody_s = 1.0\nanswer_s = 1.0\n"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with started(tmp_path_factory.mktemp("connections")) as starting:
        yield starting(f"max_body_mb = 1\n{LIMITS}")


@pytest.fixture(autouse=True)
def _everybody_else_is_served(collector: RunningCollector) -> Iterator[None]:
    yield
    assert collector.post("/v1/traces", traces([span(1)])).status_code == 200


def connected(collector: RunningCollector) -> socket.socket:
    host, _, port = collector.url.removeprefix("http://").rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    return made


def head(length: int | None, *more: str) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = ["POST /v1/traces HTTP/1.1", "host: collector", "content-type: application/x-protobuf", framing, *more]
    return "\r\n".join([*lines, "", ""]).encode()


def read_to_end(one: socket.socket) -> bytes:
    """What comes until the collector closes; a reset is an end too."""
    answer = b""
    with suppress(ConnectionResetError):
        while part := one.recv(65_536):
            answer += part
    return answer


def closed(collector: RunningCollector, why: str) -> float:
    """How many connections were ended for this reason."""
    label = f'tokenjoule_collector_closed_connections_total{{why="{why}"}} '
    lines = collector.http.get("/metrics").text.splitlines()
    return next((float(line.removeprefix(label)) for line in lines if line.startswith(label)), 0.0)


def wait_for(collector: RunningCollector, why: str, count: float) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while closed(collector, why) < count:
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def body(number: int) -> bytes:
    sent: bytes = traces([span(number)]).SerializeToString()
    return sent


@pytest.mark.parametrize(
    ("why", "sent"),
    [
        ("idle", b""),
        ("slow_head", b"POST /v1/traces HTTP/1.1\r\nhost: coll"),
        ("slow_body", head(1_000) + b"\x0a"),
        ("slow_body", head(None) + b"5\r\n12"),
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk"],
)
def test_what_does_not_go_on_is_closed(collector: RunningCollector, why: str, sent: bytes) -> None:
    before = closed(collector, why)
    with closing(connected(collector)) as slow:
        slow.sendall(sent)
        assert read_to_end(slow) == b""
    wait_for(collector, why, before + 1)


@pytest.mark.parametrize("drip", [b"x-padding: 1\r\n", b"\r\n"], ids=["headers", "empty lines"])
def test_a_head_that_drips_is_closed_although_it_goes_on(collector: RunningCollector, drip: bytes) -> None:
    before = closed(collector, "slow_head")
    with closing(connected(collector)) as slow:
        slow.sendall(b"" if drip == b"\r\n" else b"POST /v1/traces HTTP/1.1\r\n")
        deadline = time.monotonic() + PATIENCE_S
        with suppress(ConnectionError):
            while time.monotonic() < deadline:
                slow.sendall(drip)
                time.sleep(0.05)
    wait_for(collector, "slow_head", before + 1)


def test_a_body_that_drips_after_its_refusal_is_closed(collector: RunningCollector) -> None:
    before = closed(collector, "slow_body")
    with closing(connected(collector)) as slow:
        slow.sendall(head(900_000).replace(b"x-protobuf", b"x-nonsense"))
        assert slow.recv(65_536).startswith(b"HTTP/1.1 415")
        deadline = time.monotonic() + PATIENCE_S
        with suppress(ConnectionError):
            while time.monotonic() < deadline:
                slow.sendall(b"\x0a")
                time.sleep(0.05)
    wait_for(collector, "slow_body", before + 1)


def test_a_head_without_end_is_answered_431(collector: RunningCollector) -> None:
    with closing(connected(collector)) as endless:
        endless.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: collector\r\nx-endless: ")
        with suppress(ConnectionError):
            for _ in range(100):
                endless.sendall(b"x" * 65_536)
        endless.settimeout(PATIENCE_S)
        assert read_to_end(endless)[:12] in (b"HTTP/1.1 431", b"")  # a reset may overtake the answer
    wait_for(collector, "large_head", 1)


@pytest.mark.parametrize(
    "junk",
    [b"1;" + b"x" * 1_000 + b"\r\na\r\n", b"0\r\n" + b"t: 1\r\n" * 100],
    ids=["chunk extensions", "trailers"],
)
def test_framing_without_a_body_is_bounded(collector: RunningCollector, junk: bytes) -> None:
    with closing(connected(collector)) as abusive:
        abusive.sendall(head(None))
        sent = 0
        with suppress(ConnectionError):
            while sent < 50_000_000:
                abusive.sendall(junk if not junk.startswith(b"0") or sent == 0 else junk[3:])
                sent += len(junk)
        assert sent < 50_000_000


@pytest.mark.parametrize("size", ["zz", "-5", "ffffffffffffffffff", "0x10"])
def test_a_chunk_of_no_size_is_answered_400(collector: RunningCollector, size: str) -> None:
    with closing(connected(collector)) as abusive:
        abusive.sendall(head(None) + f"{size}\r\nabc\r\n".encode())
        assert read_to_end(abusive).startswith(b"HTTP/1.1 400")


def test_two_framings_of_one_body_are_refused(collector: RunningCollector) -> None:
    with closing(connected(collector)) as abusive:
        abusive.sendall(head(5, "transfer-encoding: chunked") + b"0\r\n\r\n")
        assert read_to_end(abusive).startswith(b"HTTP/1.1 400")


def test_a_body_in_chunks_of_one_byte_is_stored(collector: RunningCollector) -> None:
    with closing(connected(collector)) as one:
        chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body(2_001))
        one.sendall(head(None, "connection: close") + chunks + b"0\r\n\r\n")
        assert read_to_end(one).startswith(b"HTTP/1.1 200")
    assert collector.query(f"SELECT count(*) FROM spans WHERE trace_id = '{2_001:032x}'") == [[1]]


def test_requests_in_a_pipeline_are_answered_in_their_order(collector: RunningCollector) -> None:
    bodies = [body(3_000), b"\xff\xff", body(3_002)]
    requests = [head(len(one)) + one for one in bodies[:-1]] + [head(len(bodies[2]), "connection: close") + bodies[2]]
    with closing(connected(collector)) as one:
        one.sendall(b"".join(requests))
        answers = read_to_end(one)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400", b"200"]
    found = collector.query(f"SELECT count(*) FROM spans WHERE trace_id IN ('{3_000:032x}', '{3_002:032x}')")
    assert found == [[2]]


def test_a_pipeline_of_thousands_is_cut_short(collector: RunningCollector) -> None:
    with closing(connected(collector)) as one:
        with suppress(ConnectionError):
            one.sendall(b"GET /metrics HTTP/1.1\r\nhost: collector\r\n\r\n" * 20_000)
        answered = read_to_end(one).count(b"HTTP/1.1 200")
    assert answered < 20_000


def test_a_connection_reset_in_the_middle_of_a_body_stores_nothing(collector: RunningCollector) -> None:
    sent = body(4_001)
    one = connected(collector)
    one.sendall(head(len(sent)) + sent[:-5])
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
    assert collector.post("/v1/traces", traces([span(4_002)])).status_code == 200
    assert collector.query(f"SELECT count(*) FROM spans WHERE trace_id = '{4_001:032x}'") == [[0]]


def test_over_the_most_connections_the_longest_idle_one_makes_room(collector: RunningCollector) -> None:
    before = closed(collector, "made_room")
    idle = [connected(collector) for _ in range(200)]
    try:
        assert collector.http.get("/health").status_code == 200
        with closing(connected(collector)) as late:
            late.sendall(head(len(body(5_001)), "connection: close") + body(5_001))
            assert read_to_end(late).startswith(b"HTTP/1.1 200")
        wait_for(collector, "made_room", before + 100)
    finally:
        for one in idle:
            one.close()


def test_a_query_whose_answer_nobody_reads_is_ended(collector: RunningCollector) -> None:
    before = closed(collector, "slow_reader")
    asked = b'{"sql": "SELECT range, repeat(\'x\', 200) AS x FROM range(900000)"}'
    with closing(connected(collector)) as reader:
        line = f"POST /v1/query HTTP/1.1\r\nhost: c\r\ncontent-length: {len(asked)}\r\n\r\n"
        reader.sendall(line.encode() + asked)
        wait_for(collector, "slow_reader", before + 1)


def test_a_gigantic_bomb_is_refused_and_its_sender_told(collector: RunningCollector) -> None:
    bomb = gzip.compress(bytes(400_000_000), 9)
    answer = collector.post("/v1/traces", bomb, **{"content-encoding": "gzip"})
    assert (answer.status_code, b"max_body_mb" in answer.content) == (413, True)
