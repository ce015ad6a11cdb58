"""``tokenjoule doctor --ingest``: recorded emitters and a stranger, posted to a store, and what is said about them."""

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from store.writing import Store
from tests.collector.payloads import span, traces
from tokenjoule.__main__ import app

RECORDED = Path(__file__).parents[1] / "golden" / "otlp"


def append(data: Path, *requests: Any) -> str:
    decoder = SpanDecoder(every_dialect())
    with Store.open(data) as store:
        for request in requests:
            store.append_raw(decoder.decode(request, time.time_ns()).tables)
    return f"duckdb:///{data}"


def recorded(emitter: str) -> list[Any]:
    return [ExportTraceServiceRequest.FromString(path.read_bytes()) for path in (RECORDED / emitter).glob("*.pb")]


def said(url: str) -> list[str]:
    ended = CliRunner().invoke(app, ["doctor", "--ingest", "--url", url])
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    return lines[next(number for number, line in enumerate(lines) if "probes" in line) :]


def line(lines: list[str], *words: str) -> str:
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, lines
    return found[0]


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    stranger = traces(
        [span(1, name="ask", attributes={"gen_ai.usage.input_tokens": 5}), span(2, name="ask")],
        {"service.name": "stranger"},
        "in.house",
    )
    everybody = [*recorded("openllmetry-0.62.4"), *recorded("litellm-1.109.1"), *recorded("vllm-0.32"), stranger]
    return said(append(tmp_path / "data", *everybody))


def test_emitters_are_named_with_their_dialect_and_what_their_calls_lack(lines: list[str]) -> None:
    caller = line(lines, "openllmetry-caller")
    assert "openllmetry    client" in caller
    assert "5 spans (1 failed); 1 without tokens" in caller  # the stream without usage
    assert line(lines, "litellm        client", "litellm-caller").count(
        "5 spans (1 failed); 2 streamed without a first token"
    )
    assert "another span of a call" in line(lines, "litellm-caller", "another span")
    assert line(lines, "vllm           engine").endswith("6 spans")


def test_spans_that_no_dialect_reads_are_told_apart_by_whether_they_count_tokens(lines: list[str]) -> None:
    assert line(lines, "stranger (in.house), such as 'ask'").endswith(
        "2 spans; 1 have token counts, and no dialect reads them"
    )
    start_up = [text for text in lines if "vllm" in text and "such as" in text]
    assert start_up
    assert not any("token counts" in text for text in start_up)


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    assert any("point an exporter" in text for text in said(append(tmp_path / "data")))
