"""Recorded output of real emitters becomes the promoted columns it should."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect

RECORDED = Path(__file__).parent / "otlp"
RECEIVED_NS = 1_795_300_000_000_000_000


def rows(emitter: str, *, capture_content: bool = False) -> list[dict[str, Any]]:
    decoder = SpanDecoder(every_dialect(), capture_content=capture_content)
    found: list[dict[str, Any]] = []
    for path in sorted((RECORDED / emitter).glob("*.pb")):
        request = ExportTraceServiceRequest.FromString(path.read_bytes())
        batch = decoder.decode(request, RECEIVED_NS)
        assert batch.refusals.count == 0
        found += batch.tables["spans"].to_pylist()
    return sorted(found, key=lambda row: row["start_ns"])


def calls(emitter: str) -> list[dict[str, Any]]:
    return [row for row in rows(emitter) if row["role"] is not None]


def test_stock_vllm_gives_six_requests_with_their_tokens_and_phases() -> None:
    seen = calls("vllm-0.32")
    assert [row["output_tokens"] for row in seen] == [8, 16, 24, 32, 40, 48]
    assert {(row["dialect"], row["role"], row["engine"], row["input_tokens"]) for row in seen} == {
        ("vllm", "engine", "vllm-large", 6)
    }
    for row in seen:
        assert row["request_id"].startswith("chatcmpl-")
        assert row["queue_s"] + row["prefill_s"] + row["decode_s"] <= row["e2e_s"]
        assert row["queue_s"] + row["prefill_s"] <= row["ttft_s"] < row["e2e_s"]
        assert row["finish_reason"] is None  # this version sends none
    first = seen[0]
    assert first["ttft_s"] == pytest.approx(0.0414106846)
    assert first["prefill_s"] == pytest.approx(0.029612835)
    assert first["decode_s"] == pytest.approx(0.102554159)


def test_stock_vllm_start_up_spans_are_kept_but_are_no_calls() -> None:
    others = [row for row in rows("vllm-0.32") if row["role"] is None]
    assert len(others) == 12
    assert {row["dialect"] for row in others} == {None}
    assert ("code.function", "WorkerProc.__init__") in [pair for row in others for pair in row["attributes"]]


def test_openllmetry_gives_six_client_calls() -> None:
    seen = calls("openllmetry-0.62")
    assert {(row["dialect"], row["role"], row["provider"]) for row in seen} == {("openllmetry", "client", "openai")}
    assert [row["operation"] for row in seen] == ["chat"] * 5 + ["text_completion"]
    assert [row["streamed"] for row in seen] == [False, True, True, False, False, False]
    assert [(row["input_tokens"], row["output_tokens"]) for row in seen] == [
        (8, 12),
        (8, 20),
        (None, None),  # a stream without usage
        (None, None),
        (None, None),
        (1, 3),
    ]
    assert [row["finish_reason"] for row in seen] == ["length", "length", "length", None, None, "length"]
    assert [row["error_type"] for row in seen] == [None, None, None, "NotFoundError", "APITimeoutError", None]
    assert seen[0]["user_id"] == "user-7"


def test_openllmetry_has_a_first_token_only_where_it_streamed() -> None:
    seen = calls("openllmetry-0.62")
    assert [row["ttft_s"] is not None for row in seen] == [False, True, True, False, False, False]
    assert seen[1]["ttft_s"] == pytest.approx(0.029751349)  # its first chunk event


def test_prompts_and_completions_are_not_stored_unless_asked_for() -> None:
    assert "gen_ai.input.messages" not in keys(rows("openllmetry-0.62"))
    assert "gen_ai.output.messages" in keys(rows("openllmetry-0.62", capture_content=True))


def keys(found: list[dict[str, Any]]) -> set[str]:
    return {key for row in found for key, _ in row["attributes"]}
