"""OTLP over HTTP: what is acknowledged is committed, what is refused says why, in the encoding of the request."""

import gzip
import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.collector.payloads import counter, span, traces
from tests.collector.running_collector import RunningCollector

JSON = {"content-type": "application/json"}


def count(collector: RunningCollector, trace_id: int) -> int:
    rows = collector.query(f"SELECT count(*) FROM spans WHERE trace_id = '{trace_id:032x}'")
    return int(rows[0][0])


def json_span(trace_id: str, **changes: Any) -> dict[str, Any]:
    now_ns = time.time_ns()
    return {
        "traceId": trace_id,
        "spanId": "00f067aa0ba902b7",
        "name": "chat scout",
        "kind": 3,
        "startTimeUnixNano": str(now_ns - 10**9),
        "endTimeUnixNano": str(now_ns),
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "12"}},
            {"key": "traceId", "value": {"stringValue": "not an id"}},
        ],
        **changes,
    }


def json_body(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("number", "encoding", "pack"),
    [
        (1_000, "identity", bytes),
        (1_001, "gzip", gzip.compress),
        (1_002, "gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
        (1_003, "deflate", zlib.compress),
        (1_004, "deflate", raw_deflate),
        (1_005, "zstd", zstandard.compress),
        (1_006, "zstd", zstandard.ZstdCompressor(write_content_size=False).compress),
    ],
)
def test_every_encoding_is_read(
    collector: RunningCollector, number: int, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    body = pack(traces([span(number)]).SerializeToString())
    answer = collector.post("/v1/traces", body, **{"content-encoding": encoding})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")
    assert count(collector, number) == 1


def test_json_with_hex_ids_and_numbers_as_text(collector: RunningCollector) -> None:
    answer = collector.post("/v1/traces", json_body(json_span("5b8efff798038103d269b633813fc60c")), **JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    assert collector.query(
        "SELECT span_id, output_tokens, role, attributes['traceId'] FROM spans"
        " WHERE trace_id = '5b8efff798038103d269b633813fc60c'"
    ) == [["00f067aa0ba902b7", 12, "client", "not an id"]]


def test_bad_spans_are_counted_with_reasons_and_the_good_ones_stored(collector: RunningCollector) -> None:
    answer = collector.post("/v1/traces", traces([span(7), span(8, span_id=b"?"), span(9, end_ns=1)]))
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert answer.status_code == 200
    assert partial.rejected_spans == 2
    assert "span_id" in partial.error_message
    assert "ends before" in partial.error_message
    assert [count(collector, number) for number in (7, 8, 9)] == [1, 0, 0]


def test_partial_success_in_json(collector: RunningCollector) -> None:
    good, bad = json_span("5b8efff798038103d269b633813fc60d"), json_span("no hex")
    answer = collector.post("/v1/traces", json_body(good, bad), **JSON).json()
    assert answer["partialSuccess"]["rejectedSpans"] == "1"
    assert "trace_id" in answer["partialSuccess"]["errorMessage"]


def test_metrics_are_stored(collector: RunningCollector) -> None:
    answer = collector.post("/v1/metrics", counter("hw.energy", 5.0, {"hw.id": "GPU-7", "hw.type": "gpu"}))
    assert answer.status_code == 200
    assert collector.query("SELECT value, source FROM metric_points WHERE device = 'GPU-7'") == [[5.0, "otlp"]]


def test_a_log_that_says_nothing_about_a_call_is_counted_and_the_answer_says_so(collector: RunningCollector) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add()
    partial = ExportLogsServiceResponse.FromString(collector.post("/v1/logs", request).content).partial_success
    assert partial.rejected_log_records == 0
    assert partial.error_message.startswith("1 log records counted, not stored")


@pytest.mark.parametrize(
    ("body", "headers", "status", "remedy"),
    [
        (b"\xff\xff\xff", {}, 400, "not an OTLP protobuf message"),
        (b"{", JSON, 400, "not OTLP/JSON"),
        (b"[]", JSON, 400, "resourceSpans"),
        (b"\x1f\x8b\x08 no", {"content-encoding": "gzip"}, 400, "not valid gzip"),
        (gzip.compress(b"x" * 100)[:-6], {"content-encoding": "gzip"}, 400, "ends too early"),
        (zstandard.compress(b"x" * 100)[:-3], {"content-encoding": "zstd"}, 400, "ends too early"),
        (b"", {"content-encoding": "br"}, 415, "send gzip, zstd, deflate or identity"),
        (b"", {"content-type": "text/plain"}, 415, "application/x-protobuf or application/json"),
        (b"x" * 1_000_001, {}, 413, "max_body_mb"),
        (gzip.compress(bytes(100_000_000)), {"content-encoding": "gzip"}, 413, "max_body_mb"),
        (zstandard.compress(bytes(1_000_000_000)), {"content-encoding": "zstd"}, 413, "max_body_mb"),
        (zlib.compress(bytes(100_000_000)), {"content-encoding": "deflate"}, 413, "max_body_mb"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_what_cannot_be_taken_in_says_how_it_could(
    collector: RunningCollector, body: bytes, headers: dict[str, str], status: int, remedy: str
) -> None:
    answer = collector.post("/v1/traces", body, **headers)
    assert answer.status_code == status
    is_json = answer.headers["content-type"] == "application/json"
    message = answer.json()["message"] if is_json else Status.FromString(answer.content).message
    assert remedy in message


def test_a_body_without_a_length_is_stopped_at_the_limit(collector: RunningCollector) -> None:
    pieces = (bytes(100_000) for _ in range(30))
    answer = httpx.post(
        f"{collector.url}/v1/traces", content=pieces, headers={"content-type": "application/x-protobuf"}
    )
    assert answer.status_code == 413


def test_an_empty_request_is_a_success(collector: RunningCollector) -> None:
    assert collector.post("/v1/traces", b"").status_code == 200


def counted(collector: RunningCollector) -> dict[str, float]:
    lines = [line for line in collector.http.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_the_collector_counts_what_it_does(collector: RunningCollector) -> None:
    assert collector.post("/v1/traces", traces([span(77)])).status_code == 200
    collector.query("SELECT 1")  # answered when what was acknowledged is stored
    values = counted(collector)
    assert values['tokenjoule_collector_received_total{signal="traces"}'] >= 1
    assert values['tokenjoule_collector_committed_rows_total{relation="spans"}'] >= 1
    end_s = time.monotonic() + 20  # its own samples pass through the queue too
    while counted(collector)["tokenjoule_collector_queue_rows"]:
        assert time.monotonic() < end_s
    assert collector.http.get("/health").json() == {"status": "ok"}
