"""Spans and counters as the collector receives them, and their agreement with the requests that were served."""

import time

import pytest

from conventions.instruments import ENGINE_COUNTERS, ENGINE_GAUGES, ENGINE_SAVINGS
from tests.serving.engine.conftest import MODEL, NAME, Running

TRACE_ID, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-01"}
SERVER_KIND = 2


def complete(server: Running, request_id: str, **fields: object) -> None:
    body = {"prompt": "the archive", "temperature": 0, "ignore_eos": True, **fields}
    headers = {"X-Request-Id": request_id, **TRACED}
    assert server.client.post("/v1/completions", json=body, headers=headers).status_code == 200


def test_a_span_tells_tokens_phases_and_identity(server: Running) -> None:
    before_ns = time.time_ns()
    complete(server, "whole", max_tokens=10, top_p=0.5)
    span = server.sink.span("cmpl-whole")
    found = span.attributes
    assert (span.name, span.kind, span.is_error) == ("llm_request", SERVER_KIND, False)
    assert (span.trace_id, span.parent_id) == (TRACE_ID, CALLER_SPAN)
    assert before_ns <= span.started_ns < span.ended_ns <= time.time_ns()
    num_prompt = found["gen_ai.usage.input_tokens"]
    assert num_prompt > 2
    expected = {
        "tokenjoule.role": "engine", "tokenjoule.engine": NAME, "tokenjoule.outcome": "answered",
        "gen_ai.operation.name": "text_completion", "gen_ai.request.model": MODEL, "gen_ai.response.model": MODEL,
        "gen_ai.request.id": "cmpl-whole", "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.request.stream": False, "gen_ai.request.max_tokens": 10, "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.5, "gen_ai.usage.output_tokens": 10, "gen_ai.usage.completion_tokens": 10,
        "gen_ai.usage.prompt_tokens": num_prompt, "gen_ai.usage.cache_read.input_tokens": 0,
        "tokenjoule.batch.size": 1.0,
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected
    assert "error.type" not in found


def test_the_phases_add_up(server: Running) -> None:
    complete(server, "phases", max_tokens=30)
    span = server.sink.span("cmpl-phases")
    latency = {
        name: span.attributes[f"gen_ai.latency.{name}"]
        for name in (
            "time_in_queue", "time_to_first_token", "e2e",
            "time_in_model_prefill", "time_in_model_decode", "time_in_model_inference",
        )
    }  # fmt: skip
    assert all(value > 0 for value in latency.values())
    queue_and_prefill = latency["time_in_queue"] + latency["time_in_model_prefill"]
    assert latency["time_to_first_token"] == pytest.approx(queue_and_prefill)
    inference = latency["time_in_model_prefill"] + latency["time_in_model_decode"]
    assert latency["time_in_model_inference"] == pytest.approx(inference)
    assert latency["time_to_first_token"] + latency["time_in_model_decode"] <= latency["e2e"]
    assert (span.ended_ns - span.started_ns) / 1e9 == pytest.approx(latency["e2e"], abs=1e-6)


def test_a_streamed_chat_has_its_operation_and_one_span(server: Running) -> None:
    body = {"messages": [{"role": "user", "content": "open?"}], "max_tokens": 5, "stream": True, "ignore_eos": True}
    server.client.post("/v1/chat/completions", json=body, headers={"X-Request-Id": "streamed"})
    found = server.sink.span("chatcmpl-streamed").attributes
    assert (found["gen_ai.operation.name"], found["gen_ai.request.stream"]) == ("chat", True)


def test_a_refused_call_has_a_span_with_the_reason(server: Running) -> None:
    headers = {"X-Request-Id": "refused", **TRACED}
    server.client.post("/v1/completions", json={"prompt": "the", "model": "other"}, headers=headers)
    span = server.sink.span("cmpl-refused")
    assert span.is_error
    assert span.trace_id == TRACE_ID
    assert span.attributes["gen_ai.request.model"] == "other"
    assert span.attributes["tokenjoule.outcome"] == "refused"
    assert span.attributes["error.type"] == "model_not_found"
    assert "gen_ai.usage.output_tokens" not in span.attributes


def test_every_instrument_is_exported_and_agrees_with_the_work(server: Running) -> None:
    """Three requests of known size between two exports; nothing else runs."""
    server.sink.next_points()
    before = server.sink.next_points()
    for number, max_tokens in enumerate((1, 7, 20)):
        complete(server, f"counted-{number}", max_tokens=max_tokens)
    server.sink.next_points()
    after = server.sink.next_points()
    assert {one.name for one in (*ENGINE_COUNTERS, *ENGINE_GAUGES, *ENGINE_SAVINGS)} <= after.keys()
    assert server.sink.resources[-1]["tokenjoule.engine"] == NAME
    grown = {one.name.rsplit(".", 1)[-1]: after[one.name] - before[one.name] for one in ENGINE_COUNTERS}
    num_prompt = server.sink.span("cmpl-counted-0").attributes["gen_ai.usage.input_tokens"]
    assert grown == {
        "steps": 28, "running_steps": 28, "aborted": 0, "generated_tokens": 28,
        "prefill_tokens": 3 * num_prompt, "prefill_context": 3 * num_prompt * (num_prompt - 1) / 2,
        "decode_tokens": 25, "decode_context": sum(num_prompt + i for n in (1, 7, 20) for i in range(n - 1)),
    }  # fmt: skip
