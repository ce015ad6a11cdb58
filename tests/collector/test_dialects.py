"""Rules that hold for a model call in every spelling."""

import time
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from conventions import attributes as names
from tests.collector.payloads import CLIENT, INTERNAL, SERVER, span, traces

CHAT = {names.OPERATION: "chat", names.PROVIDER: "openai", names.REQUEST_MODEL: "large"}


def row(attributes: dict[str, Any], resource: dict[str, Any] | None = None, scope: str = "", **changes: Any) -> Any:
    batch = SpanDecoder(every_dialect()).decode(
        traces([span(attributes=attributes, **changes)], resource, scope), time.time_ns()
    )
    assert batch.refusals.count == 0, batch.refusals.reasons
    return batch.tables["spans"].to_pylist()[0]


def test_the_canonical_name_wins_over_the_legacy_one_and_nothing_is_summed() -> None:
    seen = row({**CHAT, names.INPUT_TOKENS: 10, names.PROMPT_TOKENS_LEGACY: 12, names.OUTPUT_TOKENS: 3})
    assert (seen["input_tokens"], seen["output_tokens"]) == (10, 3)
    assert (names.PROMPT_TOKENS_LEGACY, "12") in seen["attributes"]  # kept as sent


@pytest.mark.parametrize("key", ["gen_ai.usage.cache_creation.input_tokens", names.CACHE_WRITE_TOKENS])
def test_both_spellings_of_cache_writes_are_read(key: str) -> None:
    assert row({**CHAT, names.INPUT_TOKENS: 10, key: 4})["cache_write_tokens"] == 4


def test_cached_tokens_counted_apart_are_added_and_the_span_says_so() -> None:
    seen = row({**CHAT, names.INPUT_TOKENS: 3, names.CACHE_READ_TOKENS: 100, names.CACHE_WRITE_TOKENS: 20})
    assert seen["input_tokens"] == 123
    assert ("tokenjoule.normalised", "input_tokens: cached tokens added") in seen["attributes"]


def test_cached_tokens_counted_inside_are_left_alone() -> None:
    assert row({**CHAT, names.INPUT_TOKENS: 120, names.CACHE_READ_TOKENS: 100})["input_tokens"] == 120


def test_a_caller_that_did_not_stream_has_no_first_token() -> None:
    assert row({**CHAT, names.TIME_TO_FIRST_CHUNK: 0.9})["ttft_s"] is None
    assert row({**CHAT, names.TIME_TO_FIRST_CHUNK: 0.9, names.REQUEST_STREAM: "false"})["ttft_s"] is None
    assert row({**CHAT, names.TIME_TO_FIRST_CHUNK: 0.9, names.REQUEST_STREAM: "true"})["ttft_s"] == 0.9


def test_a_first_token_after_the_end_is_none() -> None:
    assert row({**CHAT, names.TIME_TO_FIRST_CHUNK: 1.5, names.REQUEST_STREAM: True})["ttft_s"] is None


def test_an_engine_has_a_first_token_whether_it_streams_or_not() -> None:
    seen = row({names.ROLE: "engine", names.LATENCY_TTFT: 0.25, names.REQUEST_STREAM: False}, kind=SERVER)
    assert (seen["dialect"], seen["ttft_s"]) == ("tokenjoule", 0.25)


@pytest.mark.parametrize(("sent", "kept"), [(-5, None), (2**62, None), ("17", 17), (True, None), (3.5, None), (0, 0)])
def test_absurd_token_counts_are_not_known(sent: Any, kept: int | None) -> None:
    assert row({**CHAT, names.OUTPUT_TOKENS: sent})["output_tokens"] == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["stop"], "stop"),
        ('["length"]', "length"),
        ("end_turn", "stop"),
        (["tool_call"], "tool_calls"),
        ("content_filter", "content_filter"),
        ("[broken", "[broken"),
        ([], None),
    ],
)
def test_finish_reasons_come_as_arrays_json_text_or_words(sent: Any, kept: str | None) -> None:
    assert row({**CHAT, names.FINISH_REASONS: sent})["finish_reason"] == kept


def test_a_failed_call_has_an_error_type_from_its_exception_if_it_gives_none() -> None:
    failed = span(attributes=CHAT, status=Status(code=Status.STATUS_CODE_ERROR))
    event = failed.events.add(name="exception")
    event.attributes.add(key="exception.type").value.string_value = "ReadTimeout"
    batch = SpanDecoder(every_dialect()).decode(traces([failed, _failed()]), time.time_ns())
    assert batch.tables["spans"].column("error_type").to_pylist() == ["ReadTimeout", "_OTHER"]


def _failed() -> Any:
    return span(2, attributes=CHAT, status=Status(code=Status.STATUS_CODE_ERROR))


@pytest.mark.parametrize(("kind", "role"), [(CLIENT, "client"), (INTERNAL, "client"), (SERVER, "gateway")])
def test_current_conventions_tell_the_layer_by_the_kind(kind: int, role: str) -> None:
    seen = row(CHAT, kind=kind)
    assert (seen["dialect"], seen["role"], seen["operation"]) == ("genai", role, "chat")


@pytest.mark.parametrize(
    "attributes",
    [
        {names.OPERATION: "execute_tool"},
        {names.OPERATION: "invoke_agent"},
        {names.OPERATION: "embeddings"},
        {"traceloop.span.kind": "workflow"},
        {"http.request.method": "POST"},
        {names.OPERATION: ["chat"]},
        {names.ROLE: ["engine"]},
    ],
)
def test_other_spans_are_no_calls(attributes: dict[str, Any]) -> None:
    seen = row(attributes)
    assert (seen["dialect"], seen["role"]) == (None, None)


def test_a_duplicate_of_a_call_is_no_call() -> None:
    assert row(CHAT, name="raw_gen_ai_request")["role"] is None


def test_our_gateway_span_fills_the_gateway_columns() -> None:
    seen = row(
        {
            **CHAT,
            names.ROLE: "gateway",
            names.TENANT: "library",
            names.TIER: "small",
            names.CACHE_RESULT: "exact",
            names.ROUTE_POLICY: "complexity",
            names.ROUTE_REASON: "short",
            names.ITL_S: [0.01, 0.02],
            names.RUN_ID: "run-1",
        },
        kind=SERVER,
    )
    assert (seen["tenant"], seen["tier"], seen["cache_result"]) == ("library", "small", "exact")
    assert (seen["route_policy"], seen["route_reason"], seen["run_id"]) == ("complexity", "short", "run-1")
    assert seen["itl_s"] == [0.01, 0.02]
    assert seen["e2e_s"] == pytest.approx(1.0)


def test_our_attempt_span_says_which_try_on_which_engine() -> None:
    seen = row({names.ROLE: "attempt", names.ENGINE: "scout", names.ATTEMPT: 2, names.OUTCOME: "refused"})
    assert (seen["role"], seen["engine"], seen["attempt"], seen["outcome"]) == ("attempt", "scout", 2, "refused")


@pytest.mark.parametrize(
    ("resource", "engine"),
    [
        ({names.ENGINE: "expert", "service.name": "vllm"}, "expert"),
        ({"service.instance.id": "expert-0", "service.name": "vllm"}, "expert-0"),
        ({"service.instance.id": "4535c959-d2e5-4a00-a928-cb548ff7590d", "service.name": "vllm"}, "vllm"),
    ],
)
def test_an_engine_is_named_by_its_resource(resource: dict[str, Any], engine: str) -> None:
    seen = row({names.LATENCY_E2E: 0.5}, resource, "vllm.tracing", name="llm_request", kind=SERVER)
    assert (seen["dialect"], seen["engine"], seen["e2e_s"]) == ("vllm", engine, 0.5)


def test_openllmetry_in_its_old_spelling() -> None:
    seen = row(
        {
            "llm.request.type": "completion",
            "gen_ai.system": "OpenAI",
            names.PROMPT_TOKENS_LEGACY: 5,
            names.COMPLETION_TOKENS_LEGACY: 7,
            "llm.is_streaming": "False",
            "gen_ai.prompt.0.content": "secret",
            "gen_ai.completion.0.finish_reason": "stop",
        }
    )
    assert (seen["dialect"], seen["operation"], seen["provider"]) == ("openllmetry", "text_completion", "openai")
    assert (seen["input_tokens"], seen["output_tokens"], seen["streamed"]) == (5, 7, False)
    assert seen["finish_reason"] == "stop"
    assert "secret" not in str(seen)


def openinference(**attributes: Any) -> Any:
    made = span(
        name="ChatCompletion",
        kind=INTERNAL,
        attributes={
            "openinference.span.kind": "LLM",
            "llm.model_name": "large",
            "llm.token_count.prompt": 8,
            "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_read": 4,
            "input.value": "secret",
            **attributes,
        },
    )
    made.events.add(name="First Token Stream Event", time_unix_nano=made.start_time_unix_nano + 30_000_000)
    return made


def test_openinference_has_its_first_token_in_an_event() -> None:
    batch = SpanDecoder(every_dialect()).decode(traces([openinference()]), time.time_ns())
    seen = batch.tables["spans"].to_pylist()[0]
    assert (seen["dialect"], seen["role"], seen["model_requested"]) == ("openinference", "client", "large")
    assert (seen["input_tokens"], seen["output_tokens"], seen["cached_input_tokens"]) == (8, 20, 4)
    assert (seen["streamed"], seen["ttft_s"]) == (True, pytest.approx(0.03))
    assert "secret" not in str(seen)


def test_openinference_chains_and_tools_are_no_calls() -> None:
    assert row({"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 8})["role"] is None
