"""A call through a real gateway to real servers: what the backend gets, what the client gets, what the spans say."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.gateway.gateway_process import MESSAGES, Running, Trace, settings
from tests.serving.gateway.openai_stub import Behaviour, Stub, stream_events
from tests.serving.otlp_sink import Sink


@pytest.fixture(scope="module")
def gateway(start: Callable[[str], Running], two_stubs: tuple[Stub, Stub], sink: Sink) -> Running:
    return start(settings(two_stubs, otlp_endpoint=sink.url, read_timeout_s=2.0, max_body_bytes=100_000))


def test_a_plain_answer_passes_unchanged_and_the_backend_sees_its_own_model_name(
    gateway: Running, stubs: tuple[Stub, Stub]
) -> None:
    response = gateway.chat(user="ann", extra={"kept": [1.0]})
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "It is open."
    assert response.headers["x-tokenjoule-backend"] == "first"
    sent = stubs[0].seen[0]
    assert sent.body == {"model": "up-small", "messages": MESSAGES, "user": "ann", "extra": {"kept": [1.0]}}
    assert sent.headers["x-request-id"] == f"{response.headers['x-request-id']}-1"
    assert "accept-encoding" not in sent.headers


def test_a_stream_passes_byte_for_byte_without_the_usage_that_only_the_gateway_asked_for(
    gateway: Running, stubs: tuple[Stub, Stub]
) -> None:
    response = gateway.chat(stream=True)
    expected = stream_events({"model": "up-small"}, Behaviour().words, "/v1/chat/completions")
    assert response.content == b"".join(expected)
    assert stubs[0].seen[0].body["stream_options"] == {"include_usage": True}


def test_a_client_that_asks_for_usage_gets_it(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    response = gateway.chat(stream=True, stream_options={"include_usage": True})
    body = {"model": "up-small", "stream_options": {"include_usage": True}}
    assert response.content == b"".join(stream_events(body, Behaviour().words, "/v1/chat/completions"))


@pytest.mark.parametrize(
    "raw",
    [
        b': hello\r\n\r\nevent: x\r\ndata: {"choices": []}\r\n\r\ndata: [DONE]\r\n\r\n',
        b"data: not json\n\ndata: [DONE]\n\n",
        b'data: {"choices":\ndata:  []}\n\ndata: [DONE]\n\ndata: tail',
    ],
)
def test_foreign_events_pass_byte_for_byte_however_they_are_cut(
    gateway: Running, stubs: tuple[Stub, Stub], raw: bytes
) -> None:
    stubs[0].behaviour = Behaviour(raw_stream=raw)
    assert gateway.chat(stream=True).content == raw


def test_plain_completions_pass(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    body = {"model": "pair", "prompt": "Is it open?"}
    whole = gateway.client.post("/v1/completions", json=body)
    assert whole.json()["choices"][0]["text"] == "It is open."
    streamed = gateway.client.post("/v1/completions", json={**body, "stream": True})
    assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert b'"usage"' not in streamed.content


def test_one_streamed_call_gives_one_gateway_span_and_one_attempt_span(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    headers = {**trace.headers, "X-Session-ID": "s-1"}
    gateway.chat(stream=True, user="ann", priority=-2, headers=headers)
    attempt, call = _by_role(sink, trace, 2)
    assert call.name == "chat pair"
    assert (call.kind, call.parent_id) == (2, trace.span_id)
    first_chunk_s = call.attributes.pop("gen_ai.response.time_to_first_chunk")
    assert 0 < first_chunk_s < 1
    assert call.attributes == {
        "tokenjoule.role": "gateway", "gen_ai.operation.name": "chat", "gen_ai.provider.name": "tokenjoule",
        "gen_ai.request.model": "pair", "gen_ai.response.model": "up-small", "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 3, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.id": "cmpl-stub", "tokenjoule.tenant": "default", "tokenjoule.tier": "small",
        "tokenjoule.engine": "first", "tokenjoule.route.policy": "least_loaded",
        "tokenjoule.route.reason": "fewest in flight", "tokenjoule.outcome": "answered", "user.id": "ann",
        "session.id": "s-1", "tokenjoule.priority": "-2", "http.response.status_code": 200,
    }  # fmt: skip
    assert attempt.name == "attempt first"
    assert (attempt.kind, attempt.parent_id) == (3, call.span_id)
    assert attempt.attributes == {
        "tokenjoule.role": "attempt", "tokenjoule.engine": "first", "tokenjoule.tier": "small",
        "gen_ai.request.model": "up-small", "tokenjoule.attempt": 1, "tokenjoule.outcome": "answered",
        "server.address": "127.0.0.1", "server.port": stubs[0].port,
    }  # fmt: skip
    assert stubs[0].seen[0].headers["traceparent"] == f"00-{trace.trace_id}-{attempt.span_id}-01"


def test_no_prompt_and_no_answer_is_in_the_spans(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    gateway.chat(headers=trace.headers)
    text = repr(sink.spans(trace.trace_id, 2))
    assert "archive" not in text
    assert "It is open" not in text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "pair"}, "messages"),
        ({"model": "pair", "messages": []}, "messages"),
        ({"model": 7, "messages": MESSAGES}, "model"),
        ({"model": "pair", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "pair", "messages": MESSAGES, "max_tokens": "many"}, "max_tokens"),
        ({"model": "pair", "messages": MESSAGES, "stream": 1}, "stream"),
        ({"model": "pair", "messages": MESSAGES, "max_tokens": 10**30}, "max_tokens"),
    ],
)
def test_a_bad_body_is_refused_with_the_name_of_the_field(gateway: Running, body: dict[str, Any], param: str) -> None:
    response = gateway.client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_not_json_or_too_large_is_refused(gateway: Running) -> None:
    for raw in (b"{", b"\xff", b"[]", b'{"model": "pair", "x": ' + b"[" * 40_000):
        assert gateway.client.post("/v1/chat/completions", content=raw).status_code == 400
    assert gateway.client.post("/v1/chat/completions", content=b" " * 100_001).status_code == 413


def test_an_unknown_model_is_refused_with_the_choices(gateway: Running, sink: Sink, trace: Trace) -> None:
    response = gateway.chat(model="pear", headers=trace.headers)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "unknown model 'pear' (did you mean 'pair'?): choose from pair, auto"
    (call,) = sink.spans(trace.trace_id, 1)
    assert call.attributes["error.type"] == "model_not_found"
    assert call.is_error


def test_models_lists_what_is_served_and_auto(gateway: Running) -> None:
    assert [model["id"] for model in gateway.client.get("/v1/models").json()["data"]] == ["pair", "auto"]


def test_other_paths_and_methods_are_refused(gateway: Running) -> None:
    assert gateway.client.get("/v1/other").status_code == 404
    assert gateway.client.get("/v1/completions").status_code == 405


def test_metrics_count_requests_and_keep_overhead_apart(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    stubs[0].behaviour = Behaviour(delay_s=0.6)
    gateway.chat()
    text = gateway.client.get("/metrics").text
    value = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}
    assert value['tokenjoule_gateway_requests_total{outcome="answered",tier="small"}'] >= 1
    assert value["tokenjoule_gateway_in_flight"] == 0
    assert value["tokenjoule_gateway_upstream_seconds_sum"] > 0.6
    assert value["tokenjoule_gateway_overhead_seconds_sum"] < 0.6


def test_the_request_id_of_the_client_is_kept(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    response = gateway.chat(headers={"X-Request-Id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert stubs[0].seen[0].headers["x-request-id"] == "mine-1-1"


def test_an_answer_out_of_protocol_is_a_bad_gateway(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    stubs[0].behaviour = Behaviour(raw_body=b"<html>")
    response = gateway.chat()
    assert response.status_code == 502
    assert json.loads(response.content)["error"]["code"] == "out_of_protocol"


def _by_role(sink: Sink, trace: Trace, count: int) -> list[Any]:
    return sorted(sink.spans(trace.trace_id, count), key=lambda span: str(span.role))
