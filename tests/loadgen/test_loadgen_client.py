"""The stopwatch against a server whose every token time is known."""

import statistics
import time
from collections.abc import Iterator

import gevent
import pytest
from geventhttpclient.client import HTTPClient

from loadgen import sse
from loadgen.client import ChatClient
from loadgen.exchange import Exchange
from loadgen.plan import PlannedRequest, chat_body
from tests.loadgen.loadgen_stub import Stub


def exchange(model: str = "stub", *, stream: bool = True, tokens: int = 12, expected: str | None = None) -> Exchange:
    messages = [{"role": "user", "content": "the answer is yes"}]
    body = chat_body(model, messages, stream=stream, max_tokens=tokens)
    planned = PlannedRequest(at_s=0.0, body=body, model=model, stream=stream, max_tokens=tokens, expected=expected)
    now_ns = time.perf_counter_ns()
    return Exchange(planned, now_ns, now_ns, time.time_ns())


@pytest.fixture
def client(stub: Stub) -> Iterator[ChatClient]:
    http = HTTPClient.from_url(stub.url, concurrency=8, network_timeout=5, connection_timeout=5)
    yield ChatClient(http, timeout_s=2.0)
    http.close()


def sent(client: ChatClient, model: str = "stub", **wanted: object) -> Exchange:
    one = exchange(model, **wanted)  # type: ignore[arg-type]
    client.send(one, {})
    return one


def test_ttft_is_the_first_content_not_the_role_chunk_and_not_a_full_buffer(client: ChatClient) -> None:
    twenty = [sent(client) for _ in range(20)]
    assert all(one.ok for one in twenty)
    assert 0.095 <= statistics.median(one.ttft_s or 0 for one in twenty) <= 0.130
    assert statistics.median(one.first_byte_s or 0 for one in twenty) < 0.050


def test_gaps_and_tpot_are_those_of_the_server(client: ChatClient) -> None:
    one = sent(client, tokens=30)
    assert len(one.itl_s) == 29
    assert 0.008 <= statistics.median(one.itl_s) <= 0.012
    assert one.tpot_s == pytest.approx(0.010, abs=0.0015)


def test_chunks_of_four_tokens_have_long_gaps_but_nearly_the_same_time_per_token(client: ChatClient) -> None:
    one = sent(client, "four_tokens", tokens=40)
    assert len(one.itl_s) == 9
    assert statistics.median(one.itl_s) == pytest.approx(0.040, abs=0.004)
    assert one.tpot_s == pytest.approx(0.010, abs=0.0015)


def test_usage_finish_reason_and_ids_come_from_the_stream(client: ChatClient) -> None:
    one = sent(client)
    assert (one.input_tokens, one.output_tokens, one.cached_tokens) == (7, 12, 2)
    assert (one.finish_reason, one.response_id, one.response_model) == ("length", "answer-1", "stub-1")
    assert one.text == "w " * 12


@pytest.mark.parametrize("stream", [True, False])
def test_a_known_answer_is_scored(client: ChatClient, stream: bool) -> None:
    assert sent(client, "echo", stream=stream, expected="yes").score == 1.0
    assert sent(client, "echo", stream=stream, expected="no").score == 0.0
    assert sent(client, "echo", stream=stream).score is None


def test_an_answer_in_one_piece_has_no_ttft(client: ChatClient) -> None:
    one = sent(client, stream=False)
    assert one.ok
    assert one.ttft_s is None
    assert one.tpot_s is None
    assert one.e2e_s >= 0.02


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("breaks", "broken_stream"),
        ("no_done", "broken_stream"),
        ("error_event", "engine_died"),
        ("filtered", "bad_finish_reason"),
        ("busy", "429"),
        ("silent", "timeout"),
    ],
)
def test_every_way_to_fail_has_a_name_and_is_not_ok(client: ChatClient, model: str, error: str) -> None:
    one = sent(client, model, expected="yes")
    assert one.error == error
    assert not one.ok
    assert one.score is None
    assert one.end_ns >= one.sent_ns


def test_a_server_that_is_not_there_is_an_error_not_an_exception() -> None:
    http = HTTPClient("127.0.0.1", 1, concurrency=1)
    assert sent(ChatClient(http, timeout_s=1.0)).error == "connection_refused"


def test_a_killed_request_ends_as_cancelled(client: ChatClient) -> None:
    one = exchange("silent")
    greenlet = gevent.spawn(client.send, one, {})
    gevent.sleep(0.1)
    greenlet.kill()
    assert one.error == "cancelled"


def test_connections_are_used_again_after_a_stream(client: ChatClient, stub: Stub) -> None:
    assert [sent(client).error for _ in range(3)] == [None] * 3


class Lines:
    def __init__(self, *lines: bytes) -> None:
        self._lines = list(lines)

    def readline(self, sep: bytes = b"\n") -> bytes:  # noqa: ARG002  # the protocol's name
        return self._lines.pop(0) if self._lines else b""


def test_events_follow_the_standard() -> None:
    source = Lines(
        b": comment\n", b"\n", b"event: x\r\n", b"data: one\r\n", b"\r\n",
        b"data:two\n", b"data: lines\n", b"\n", b"data: never closed\n",
    )  # fmt: skip
    assert [data for _, data in sse.events(source)] == [b"one", b"two\nlines"]
