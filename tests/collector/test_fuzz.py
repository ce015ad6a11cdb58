"""No bytes crash the decoder: they are decoded, refused one by one, or refused whole with a reason."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.decoding import compression, encoding, signals
from collector.decoding.bodies import decoded
from collector.decoding.encoding import Encoding
from collector.decoding.logrecords import LogDecoder
from collector.decoding.points import PointDecoder
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from collector.normalising.values import Renderer
from conventions import attributes as names
from conventions.errors import IngestError, MalformedPayload
from tests.collector.payloads import span, traces

RECORDED = sorted((Path(__file__).parents[1] / "golden" / "otlp").rglob("*.pb"))
DECODER = SpanDecoder(every_dialect())
SIGNALS = (signals.traces(DECODER), signals.metrics(PointDecoder()), signals.logs(LogDecoder()))
TRACES = SIGNALS[0]
THOROUGH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMIT = 1_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
attribute_names = st.sampled_from(
    [
        *(names.OPERATION, names.ROLE, names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.CACHE_READ_TOKENS),
        *(names.FINISH_REASONS, names.REQUEST_STREAM, names.TIME_TO_FIRST_CHUNK, names.LATENCY_E2E, names.ITL_S),
        *(
            names.ENGINE,
            names.ATTEMPT,
            names.ERROR_TYPE,
            "gen_ai.is_streaming",
            "llm.request.type",
            "gen_ai.usage.cost",
        ),
    ]
)
attribute_values = (
    st.sampled_from(["chat", "engine", "gateway", "[", '["stop"]', "true", "1e400", "-1", "nan", "\x00"])
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=30)
    | st.lists(st.floats() | st.text(max_size=5), max_size=4)
)


def taken_in(signal: signals.Signal, spoken: Encoding, body: bytes) -> int:
    """Items accepted and refused; ``IngestError`` counts as one refusal."""
    message: Any = signal.request()
    try:
        spoken.parse(body, message)
    except IngestError:
        return 1
    batch = signal.decode(message, time.time_ns(), Renderer())
    assert signal.answer(batch).ByteSize() >= 0
    stored = sum(table.num_rows for table in batch.tables.values())
    assert stored == batch.accepted or not batch.tables
    return batch.accepted + batch.refusals.count


@THOROUGH
@given(st.binary(max_size=300), st.sampled_from(SIGNALS))
def test_random_bytes_as_protobuf(body: bytes, signal: signals.Signal) -> None:
    taken_in(signal, Encoding(encoding.PROTOBUF), body)


@THOROUGH
@given(st.binary(max_size=200) | json_values.map(lambda item: json.dumps(item).encode()), st.sampled_from(SIGNALS))
def test_random_bytes_and_documents_as_json(body: bytes, signal: signals.Signal) -> None:
    taken_in(signal, Encoding(encoding.JSON), body)


@THOROUGH
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "status"]
            ),
            json_values,
        ),
        max_size=3,
    )
)
def test_json_spans_with_fields_of_any_type(spans: list[dict[str, Any]]) -> None:
    document = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    taken_in(TRACES, Encoding(encoding.JSON), json.dumps(document).encode())


@THOROUGH
@given(st.sampled_from(RECORDED), st.data())
def test_recorded_payloads_truncated_and_damaged(path: Path, data: st.DataObject) -> None:
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    taken_in(TRACES, Encoding(encoding.PROTOBUF), cut)


@THOROUGH
@given(st.dictionaries(attribute_names, attribute_values, max_size=8), st.sampled_from([0, 1, 2, 3, 5]))
def test_call_attributes_of_any_type_and_value(attributes: dict[str, Any], kind: int) -> None:
    batch = DECODER.decode(traces([span(attributes=attributes, kind=kind)]), time.time_ns())
    row = batch.tables["spans"].to_pylist()[0]
    for column in ("input_tokens", "output_tokens", "cached_input_tokens", "ttft_s", "e2e_s"):
        assert row[column] is None or row[column] >= 0
    assert row["ttft_s"] is None or row["ttft_s"] <= row["e2e_s"]
    assert row["input_tokens"] is None or row["input_tokens"] >= (row["cached_input_tokens"] or 0)


@THOROUGH
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_spans_with_any_times(start_ns: int, end_ns: int) -> None:
    batch = DECODER.decode(traces([span(start_ns=start_ns, end_ns=end_ns)]), time.time_ns())
    assert batch.accepted + batch.refusals.count == 1


@THOROUGH
@given(st.integers(0, 2**64 - 1), st.floats() | st.integers(-(2**63), 2**63 - 1), st.text(max_size=5))
def test_data_points_with_any_times_and_values(time_ns: int, number: float, name: str) -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    point = metric.sum.data_points.add(time_unix_nano=time_ns)
    if isinstance(number, int):
        point.as_int = number
    else:
        point.as_double = number
    batch = PointDecoder().decode(request, time.time_ns())
    assert batch.accepted + batch.refusals.count == 1


@THOROUGH
@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd", "deflate"]))
def test_random_bytes_as_compressed(body: bytes, name: str) -> None:
    with suppress(IngestError):
        assert len(compression.decompress(body, name, LIMIT)) <= LIMIT


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, head = len(payload), bytearray([number << 3 | 2])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*head, length]) + payload


def span_with_nested_arrays(depth: int) -> bytes:
    """A request whose one attribute is an array that holds an array that holds an array …"""
    inner = AnyValue(string_value="x").SerializeToString()
    for _ in range(depth):
        inner = field(5, field(1, inner))
    attribute = field(1, b"k") + field(2, inner)
    return field(1, field(2, field(2, span().SerializeToString() + field(9, attribute))))


def test_deep_nesting_is_refused_and_shallow_nesting_kept() -> None:
    shallow = ExportTraceServiceRequest.FromString(span_with_nested_arrays(20))
    batch = DECODER.decode(shallow, time.time_ns())
    assert dict(batch.tables["spans"].to_pylist()[0]["attributes"])["k"] == "[" * 20 + '"x"' + "]" * 20
    deep = decoded(TRACES, Encoding(encoding.PROTOBUF), span_with_nested_arrays(10_000), time.time_ns())
    assert (deep.accepted, deep.refusals.count) == (0, 1)
    with pytest.raises(MalformedPayload):
        Encoding(encoding.JSON).parse(b"[" * 100_000, ExportTraceServiceRequest())


def test_the_good_spans_are_kept_when_one_has_text_that_is_not_utf8() -> None:
    body = traces([span(number, attributes={"k": f"value-{number}"}) for number in (1, 2, 3)]).SerializeToString()
    batch = decoded(TRACES, Encoding(encoding.PROTOBUF), body.replace(b"value-2", b"value\xff2"), time.time_ns())
    assert [dict(row["attributes"])["k"] for row in batch.tables["spans"].to_pylist()] == ["value-1", "value-3"]
    assert batch.refusals.message("spans").startswith("1 spans refused: span is not valid protobuf")


def test_a_resource_that_is_not_utf8_takes_its_own_spans_with_it_and_no_others() -> None:
    request = traces([span(1), span(2)], {"service.name": "broken"})
    request.MergeFrom(traces([span(3)], {"service.name": "whole"}))
    body = request.SerializeToString().replace(b"broken", b"brok\xfen")
    batch = decoded(TRACES, Encoding(encoding.PROTOBUF), body, time.time_ns())
    assert [row["service"] for row in batch.tables["spans"].to_pylist()] == ["whole"]
    assert batch.refusals.count == 2


@THOROUGH
@given(st.data())
def test_what_is_salvaged_reads_as_it_would_alone(data: st.DataObject) -> None:
    good = [span(number, attributes={"k": data.draw(st.text(max_size=9))}) for number in range(1, 4)]
    bad = span(9, attributes={"k": "not-utf8"})
    mixed = traces([*good, bad]).SerializeToString().replace(b"not-utf8", b"not\xfdutf8")
    now_ns = time.time_ns()
    salvaged = decoded(TRACES, Encoding(encoding.PROTOBUF), mixed, now_ns)
    alone = decoded(TRACES, Encoding(encoding.PROTOBUF), traces(good).SerializeToString(), now_ns)
    assert salvaged.tables["spans"].equals(alone.tables["spans"])
    assert (salvaged.refusals.count, alone.refusals.count) == (1, 0)


def test_a_hundred_thousand_attributes_are_cut_and_counted() -> None:
    request = traces([span(attributes={f"k{number}": number for number in range(100_000)})])
    batch = DECODER.decode(request, time.time_ns())
    assert batch.accepted == 1
    assert batch.cut > 98_000


def test_duplicate_ids_are_both_kept_for_settlement_to_judge() -> None:
    batch = DECODER.decode(traces([span(1), span(1)]), time.time_ns())
    assert batch.accepted == 2
