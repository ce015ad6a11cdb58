"""What a sender is told before the answer is what is stored of its request afterwards."""

import gzip
import time
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decoding import compression, encoding, signals
from collector.decoding.bodies import decoded
from collector.decoding.encoding import Encoding
from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from collector.receiving.intake import Sent, read
from tests.collector.payloads import span, traces

RECORDED = sorted((Path(__file__).parents[1] / "golden" / "otlp").rglob("*.pb"))
TRACES = signals.traces(SpanDecoder(every_dialect()))
PROTOBUF, JSON = Encoding(encoding.PROTOBUF), Encoding(encoding.JSON)
LIMIT = 10**8
NOW_NS = time.time_ns()
MIXED = traces([span(1), span(0), span(2, start_ns=5), span(3, end_ns=7), span(4)])
BODIES = {
    **{path.stem: path.read_bytes() for path in RECORDED},
    "good and bad": MIXED.SerializeToString(),
    "not utf-8": traces([span(1), span(2, name="broken")]).SerializeToString().replace(b"broken", b"brok\xfen"),
    "sliced": traces([span(number, name="x" * 5_000) for number in range(900)]).SerializeToString(),
    "too much repeated": traces([span(n) for n in range(1, 9_000)], {"k": "v" * 8_000}).SerializeToString(),
}


def told_and_stored(sent: Sent) -> tuple[tuple[int, str], tuple[int, str]]:
    record, told = read(TRACES, sent, LIMIT)
    body = compression.decompress(record.body, record.head.compression, LIMIT)
    made = decoded(TRACES, PROTOBUF, body, record.head.received_ns)
    stored = sum(table.num_rows for table in made.tables.values())
    assert record.head.rows == told.accepted
    return (told.accepted, told.refusals.message("spans")), (stored, made.refusals.message("spans"))


@pytest.mark.parametrize("name", BODIES)
def test_the_counts_of_the_answer_are_those_of_the_rows(name: str) -> None:
    told, stored = told_and_stored(Sent(BODIES[name], "", PROTOBUF, NOW_NS, "peer"))
    assert told == stored
    packed = Sent(gzip.compress(BODIES[name]), " GZIP ", PROTOBUF, NOW_NS, "peer")
    assert told_and_stored(packed) == (told, stored)


def test_json_is_spooled_as_protobuf() -> None:
    document = json_format.MessageToDict(traces([span(1), span(2)]))
    for one in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        one["traceId"], one["spanId"] = "ab" * 16, "cd" * 8
    body = json_format.json.dumps(document).encode()
    told, stored = told_and_stored(Sent(body, "", JSON, NOW_NS, "peer"))
    assert told == stored == (2, "")


@pytest.mark.parametrize(
    ("resource", "sender"),
    [
        ({"service.name": "gateway"}, "gateway"),
        ({"service.name": "gateway", "tokenjoule.tenant": "acme"}, "acme"),
        ({"other": "x"}, "peer"),
    ],
)
def test_a_sender_is_its_tenant_else_its_service_else_its_address(resource: dict[str, str], sender: str) -> None:
    body = traces([span(1)], resource).SerializeToString()
    assert read(TRACES, Sent(body, "", PROTOBUF, NOW_NS, "peer"), LIMIT)[0].head.sender == sender


def test_an_empty_request_has_a_sender_too() -> None:
    assert read(TRACES, Sent(ExportTraceServiceRequest().SerializeToString(), "", PROTOBUF, NOW_NS, "peer"), LIMIT)
