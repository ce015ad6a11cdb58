"""Emitters that cannot be run here, by their published names: each call is one call, its duplicates are none."""

import time
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from analytics.relations.calls import find_calls
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from conventions import attributes as names
from tests.collector.payloads import CLIENT, INTERNAL, SERVER, span, traces

CHAT = {names.OPERATION: "chat", names.PROVIDER: "openai", names.REQUEST_MODEL: "large"}
TRACE = (77).to_bytes(16, "big")


def rows(*spans: Any, scope: str = "", resource: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    batch = SpanDecoder(every_dialect()).decode(traces(spans, resource, scope), time.time_ns())
    assert batch.refusals.count == 0, batch.refusals.reasons
    found: list[dict[str, Any]] = batch.tables["spans"].to_pylist()
    return found


def child(number: int, parent: int, **changes: Any) -> Any:
    """A span of one trace; ``parent`` 0 is none."""
    above = parent.to_bytes(8, "big") if parent else b""
    return span(number, trace_id=TRACE, parent_span_id=above, **changes)


def requests(*spans: Any, scope: str) -> int:
    """How many requests settlement makes of them."""
    table = SpanDecoder(every_dialect()).decode(traces(spans, None, scope), time.time_ns()).tables["spans"]
    return len(find_calls(table).requests.root)


# --- SGLang ---------------------------------------------------------------------------------------------------

SGLANG = {
    "rid": "0f1e2d3c",
    "module": "sglang::request",
    names.RESPONSE_MODEL: "large",
    names.REQUEST_ID: "0f1e2d3c",
    names.PROMPT_TOKENS_LEGACY: 30,
    names.COMPLETION_TOKENS_LEGACY: 12,
    "gen_ai.usage.cached_tokens": 16,
    names.FINISH_REASONS: '["stop"]',
    names.LATENCY_TTFT: 0.25,
    names.LATENCY_E2E: 0.9,
    names.LATENCY_PREFILL: 0.2,
    names.LATENCY_DECODE: 0.65,
}


def sglang(*spans: Any) -> list[dict[str, Any]]:
    return rows(*spans, scope="sglang server", resource={"service.name": "sglang"})


def test_sglang_has_one_engine_span_and_its_stages_are_no_calls() -> None:
    seen = sglang(
        child(1, 0, name=" Req 0f1e2d3c", kind=INTERNAL, attributes=SGLANG),
        child(
            2, 1, name="Tokenizer(host:1 | pid:2)", kind=INTERNAL, attributes={"pid": 2, "thread_label": "Tokenizer"}
        ),
        child(3, 2, name="prefill_forward", kind=INTERNAL),
        child(4, 2, name="decode_loop", kind=INTERNAL),
    )
    assert [(row["dialect"], row["role"]) for row in seen] == [("sglang", "engine")] + [(None, None)] * 3
    root = seen[0]
    assert (root["engine"], root["provider"], root["request_id"]) == ("sglang", "sglang", "0f1e2d3c")
    assert (root["input_tokens"], root["output_tokens"], root["cached_input_tokens"]) == (30, 12, 16)
    assert (root["ttft_s"], root["e2e_s"], root["decode_s"], root["finish_reason"]) == (0.25, 0.9, 0.65, "stop")


def test_sglangs_prefill_has_the_wait_in_it() -> None:
    unknown, known = sglang(
        span(1, name=" Req 0f1e2d3c", attributes=SGLANG),
        span(2, name=" Req 0f1e2d3c", attributes={**SGLANG, names.LATENCY_QUEUE: 0.05}),
    )
    assert (unknown["queue_s"], unknown["prefill_s"]) == (None, None)
    assert (known["queue_s"], known["prefill_s"]) == (0.05, pytest.approx(0.15))


def test_sglangs_separate_prefill_server_makes_no_second_call() -> None:
    seen = sglang(
        span(1, name="prefill Req 0f1e2d3c", attributes=SGLANG), span(2, name="decode Req 0f1e2d3c", attributes=SGLANG)
    )
    assert [row["role"] for row in seen] == [None, "engine"]


# --- LiteLLM --------------------------------------------------------------------------------------------------

LITELLM_V1 = {
    names.OPERATION: "acompletion",
    "llm.request.type": "acompletion",
    "gen_ai.system": "openai",
    names.PROVIDER: "openai",
    names.REQUEST_MODEL: "large",
    names.RESPONSE_MODEL: "large-2026",
    names.RESPONSE_ID: "chatcmpl-1",
    "litellm.call_id": "6f6c",
    "llm.is_streaming": "True",
    names.INPUT_TOKENS: 10,
    names.OUTPUT_TOKENS: 5,
    names.FINISH_REASONS: '["stop"]',
    "gen_ai.cost.total_cost": 0.0015,
    "litellm.cache_hit": False,
    "metadata.user_api_key_hash": "5f4dcc3b",
    "metadata.user_api_key_team_id": "team-1",
    "metadata.user_api_key_team_alias": "library",
    "metadata.user_api_key_user_id": "None",
    "llm.user": "user-7",
}
LITELLM_V2 = {
    **CHAT,
    names.RESPONSE_ID: "chatcmpl-2",
    names.CONVERSATION: "talk-1",
    names.INPUT_TOKENS: 10,
    names.OUTPUT_TOKENS: 5,
    "gen_ai.usage.cache_creation.input_tokens": 4,
    names.FINISH_REASONS: ["stop"],
    names.TIME_TO_FIRST_CHUNK: 0.2,
    "litellm.call_id": "6f6c",
    "litellm.call_type": "acompletion",
    "litellm.request.streaming": True,
    "litellm.request.route": "/chat/completions",
    "litellm.cost.total": 0.002,
    "litellm.team.id": "team-1",
    "litellm.metadata.user_api_key_user_id": "user-8",
}


def test_litellm_v1_counts_a_call_once_though_it_sends_it_twice() -> None:
    spans = (
        child(1, 0, name="Received Proxy Server Request", kind=SERVER),
        child(2, 1, name="litellm_request", kind=INTERNAL, attributes=LITELLM_V1),
        child(3, 2, name="raw_gen_ai_request", kind=INTERNAL, attributes={**LITELLM_V1, "llm.openai.model": "large"}),
        child(4, 1, name="auth", kind=INTERNAL, attributes={"call_type": "user_api_key_auth", "service": "auth"}),
    )
    seen = rows(*spans, scope="litellm")
    assert [row["role"] for row in seen] == [None, "gateway", None, None]
    assert requests(*spans, scope="litellm") == 1
    call = seen[1]
    assert (call["dialect"], call["operation"], call["streamed"]) == ("litellm", "chat", True)
    assert (call["tenant"], call["user_id"], call["request_id"]) == ("library", "user-7", "chatcmpl-1")
    assert (call["cost"], call["currency"], call["cache_result"]) == (0.0015, "USD", None)
    assert (call["ttft_s"], call["finish_reason"], call["model_served"]) == (None, "stop", "large-2026")


def test_litellm_v2_has_one_call_among_its_spans() -> None:
    spans = (
        child(1, 0, name="POST /chat/completions", kind=SERVER, attributes={"http.route": "/chat/completions"}),
        child(2, 1, name="auth /chat/completions", kind=INTERNAL, attributes={"litellm.service.name": "auth"}),
        child(3, 1, name="execute_guardrail pii", kind=INTERNAL, attributes={"litellm.guardrail.name": "pii"}),
        child(4, 1, name="chat large", kind=CLIENT, attributes=LITELLM_V2),
        child(5, 1, name="postgres get_data", kind=CLIENT, attributes={"db.system.name": "postgresql"}),
        child(6, 1, name="redis async_set_cache", kind=CLIENT, attributes={"db.system.name": "redis"}),
    )
    seen = rows(*spans, scope="litellm")
    assert [row["role"] for row in seen] == [None, None, None, "gateway", None, None]
    assert requests(*spans, scope="litellm") == 1
    call = seen[3]
    assert (call["tenant"], call["user_id"], call["session_id"]) == ("team-1", "user-8", "talk-1")
    assert (call["ttft_s"], call["cache_write_tokens"], call["cost"]) == (0.2, 4, 0.002)


def test_litellm_v2_with_three_vocabularies_on_one_span_is_read_once() -> None:
    layered = {
        **LITELLM_V2,
        names.PROMPT_TOKENS_LEGACY: 10,
        "llm.is_streaming": True,
        "openinference.span.kind": "LLM",
        "llm.token_count.prompt": 10,
    }
    seen = rows(span(attributes=layered), scope="litellm")[0]
    assert (seen["dialect"], seen["input_tokens"], seen["output_tokens"]) == ("litellm", 10, 5)


def test_litellms_own_cache_is_told_apart_from_a_prefix_cache() -> None:
    seen = rows(span(attributes={**LITELLM_V2, "litellm.cache_hit": "True"}), scope="litellm")[0]
    assert (seen["cache_result"], seen["cached_input_tokens"]) == ("exact", None)


def test_litellm_as_a_library_is_a_client() -> None:
    alone = {key: item for key, item in LITELLM_V1.items() if not key.startswith("metadata.")}
    assert rows(span(attributes=alone), scope="litellm")[0]["role"] == "client"


@pytest.mark.parametrize("operation", ["aembedding", "arerank", "execute_tool", "litellm.moderation"])
def test_what_else_litellm_does_is_no_call(operation: str) -> None:
    assert rows(span(attributes={**LITELLM_V1, names.OPERATION: operation}), scope="litellm")[0]["role"] is None


def test_litellms_raw_payloads_are_content() -> None:
    raw = {
        "llm.openai.messages": "[{'role': 'user', 'content': 'secret'}]",
        "llm.openai.choices": "[{'message': {'content': 'secret'}}]",
        "llm.anthropic.system": "secret",
        "llm.openai.model": "large",
    }
    seen = rows(span(name="raw_gen_ai_request", attributes=raw), scope="litellm")[0]
    assert dict(seen["attributes"]) == {"llm.openai.model": "large"}


# --- OpenLIT --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "sdk"), [("openlit.instrumentation.vllm", ""), ("", "openlit")])
def test_openlit_is_known_by_its_scope_or_its_sdk(scope: str, sdk: str) -> None:
    attributes = {
        **CHAT,
        names.PROVIDER: "vLLM",
        "telemetry.sdk.name": sdk,
        "gen_ai.server.time_to_first_token": 0.9,
        names.REQUEST_STREAM: True,
        "gen_ai.usage.cost": 0.01,
        "gen_ai.usage.prompt_tokens_details.cached_tokens": 4,
        "gen_ai.usage.completion_tokens_details.reasoning_tokens": 2,
        "gen_ai.request.user": "user-7",
    }
    seen = rows(span(attributes=attributes), scope=scope)[0]
    assert (seen["dialect"], seen["role"], seen["provider"], seen["user_id"]) == ("openlit", "client", "vllm", "user-7")
    assert (seen["ttft_s"], seen["cost"]) == (None, 0.01)
    assert (seen["cached_input_tokens"], seen["reasoning_tokens"]) == (4, 2)


@pytest.mark.parametrize("operation", ["embeddings", "invoke_agent", "execute_tool", "retrieval"])
def test_what_else_openlit_sends_is_no_call(operation: str) -> None:
    assert rows(span(attributes={names.OPERATION: operation}), scope="openlit.instrumentation.x")[0]["role"] is None


# --- what holds in every spelling -----------------------------------------------------------------------------


def test_current_names_of_caches_reasoning_and_conversation() -> None:
    seen = rows(
        span(
            attributes={
                **CHAT,
                names.INPUT_TOKENS: 100,
                names.CACHE_READ_TOKENS: 40,
                "gen_ai.usage.cache_write.input_tokens": 20,
                "gen_ai.usage.reasoning.output_tokens": 7,
                names.CONVERSATION: "talk-1",
            }
        )
    )[0]
    assert (seen["input_tokens"], seen["cached_input_tokens"], seen["cache_write_tokens"]) == (100, 40, 20)
    assert (seen["reasoning_tokens"], seen["session_id"]) == (7, "talk-1")


def test_a_total_with_the_cached_tokens_on_top_says_that_they_were_counted_apart() -> None:
    apart = {**CHAT, names.INPUT_TOKENS: 100, names.CACHE_READ_TOKENS: 40, names.OUTPUT_TOKENS: 10}
    added, inside = rows(
        span(1, attributes={**apart, "gen_ai.usage.total_tokens": 150}),
        span(2, attributes={**apart, "gen_ai.usage.total_tokens": 110}),
    )
    assert (added["input_tokens"], inside["input_tokens"]) == (140, 100)
    assert dict(added["attributes"])["tokenjoule.normalised"] == "input_tokens: cached tokens added, as in the total"
    assert "tokenjoule.normalised" not in dict(inside["attributes"])


def test_association_properties_of_openllmetry_name_tenant_user_and_session() -> None:
    associated = {f"traceloop.association.properties.{key}": key for key in ("tenant_id", "user_id", "session_id")}
    seen = rows(span(attributes={**CHAT, "llm.request.type": "chat", **associated}))[0]
    assert (seen["tenant"], seen["user_id"], seen["session_id"]) == ("tenant_id", "user_id", "session_id")


def test_openinference_knows_what_was_asked_for_when_nothing_was_answered() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.invocation_parameters": '{"model": "absent", "user": "user-7", "stream": true}',
        "llm.prompts.0.prompt.text": "secret",
    }
    failed = span(attributes=attributes, status=Status(code=Status.STATUS_CODE_ERROR))
    seen = rows(failed)[0]
    assert (seen["model_requested"], seen["model_served"], seen["user_id"]) == ("absent", None, "user-7")
    assert (seen["operation"], seen["streamed"], seen["ttft_s"]) == ("text_completion", True, None)
    assert "secret" not in str(seen)
