"""Large bodies are decoded in slices: to the same rows, within bounded memory whatever they are made of."""

import gzip
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.decoding import encoding, otlp_json, signals, slices
from collector.decoding.batch import Batch
from collector.decoding.bodies import decoded
from collector.decoding.encoding import Encoding
from collector.decoding.points import PointDecoder
from collector.decoding.spans import SpanDecoder
from collector.normalising import content, values, vocabulary
from collector.normalising.recognition import every_dialect
from conventions.errors import MalformedPayload, PayloadTooLarge
from tests.collector.payloads import counter, span, traces
from tests.collector.running_collector import Start

TRACES = signals.traces(SpanDecoder(every_dialect()))
METRICS = signals.metrics(PointDecoder())
PROTOBUF, JSON = Encoding(encoding.PROTOBUF), Encoding(encoding.JSON)
COMMITS = "tokenjoule_collector_commits_total"
NOW_NS = time.time_ns()

worlds = st.lists(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=3), max_size=4)


def taken_in(body: bytes, signal: signals.Signal = TRACES) -> Batch:
    return decoded(signal, PROTOBUF, body, NOW_NS)


def request(world: list[list[list[int]]]) -> Any:
    """Resources of scopes of spans with these numbers."""
    made = ExportTraceServiceRequest()
    for place, scopes in enumerate(world):
        resource = made.resource_spans.add(schema_url="r")
        resource.resource.attributes.add(key="service.name").value.string_value = f"service-{place}"
        for number, spans in enumerate(scopes):
            scope = resource.scope_spans.add(schema_url="s")
            scope.scope.name = f"scope-{number}"
            scope.spans.extend(span(one + 1, start_ns=NOW_NS - 10**9, attributes={"n": one}) for one in spans)
    return made


@settings(deadline=None)
@given(worlds, st.integers(1, 600))
def test_slices_give_the_same_rows_as_the_whole(world: list[list[list[int]]], whole_bytes: int) -> None:
    body = request(world).SerializeToString()
    expected = taken_in(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "WHOLE_BYTES", whole_bytes)
        found = taken_in(body)
    assert (found.accepted, found.refusals.count) == (expected.accepted, 0)
    assert {name: rows.combine_chunks() for name, rows in found.tables.items()} == {
        name: rows.combine_chunks() for name, rows in expected.tables.items()
    }


@settings(deadline=None)
@given(worlds, st.integers(1, 200), st.data())
def test_what_is_cut_off_or_damaged_is_refused_whole_or_one_by_one(
    world: list[list[list[int]]], whole_bytes: int, data: st.DataObject
) -> None:
    body = bytearray(request(world).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "WHOLE_BYTES", whole_bytes)
        with suppress(MalformedPayload):
            batch = taken_in(cut)
            assert batch.accepted == sum(table.num_rows for table in batch.tables.values())


def test_the_span_that_is_too_large_is_refused_and_the_others_kept() -> None:
    huge = span(2, attributes={"k": "x" * slices.MAX_PART_BYTES})
    batch = taken_in(traces([span(1), huge, span(3)]).SerializeToString())
    assert [row["trace_id"][-1] for row in batch.tables["spans"].to_pylist()] == ["1", "3"]
    assert batch.refusals.message("spans").startswith("1 spans refused: the item, its resource or its scope is over")


def test_a_resource_that_is_too_large_takes_its_own_spans_with_it_and_no_others() -> None:
    sent = traces([span(1), span(2)], {"service.name": "x" * slices.MAX_PART_BYTES})
    sent.MergeFrom(traces([span(3)]))
    batch = taken_in(sent.SerializeToString())
    assert (batch.accepted, batch.refusals.count) == (1, 2)


@pytest.mark.parametrize("tag", [b"\x0a", b"\x78"], ids=["empty resources", "unknown fields"])
def test_a_body_of_millions_of_empty_parts_is_refused(tag: bytes) -> None:
    body = (tag + b"\x00") * 2_000_000
    with pytest.raises(PayloadTooLarge, match="send smaller batches"):
        taken_in(body)


@pytest.mark.parametrize("opening", [b'{"x":[', b'{"resourceSpans":['])
def test_json_of_a_million_empty_objects_is_refused_before_it_is_parsed(opening: bytes) -> None:
    with pytest.raises(PayloadTooLarge, match="or protobuf"):
        decoded(TRACES, JSON, opening + b"{}," * otlp_json.MAX_CONTAINERS + b"{}]}", NOW_NS)


def test_a_large_resource_is_not_multiplied_by_its_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_REPEATED", 1_000_000)
    resource = {f"k{number}": "x" * 8_000 for number in range(50)}
    batch = taken_in(traces([span(number) for number in range(1, 1_001)], resource).SerializeToString())
    assert (batch.accepted, batch.accepted + batch.refusals.count) == (2, 1_000)
    assert "less in the resource" in batch.refusals.message("spans")
    assert sum(table.nbytes for table in batch.tables.values()) < 2_000_000


def test_a_large_resource_is_not_multiplied_by_its_data_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_REPEATED", 1_000_000)
    sent = counter("hw.energy", 1.0, {}, **{f"k{number}": "x" * 8_000 for number in range(50)})
    points = sent.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    points.extend([points[0]] * 99)
    batch = taken_in(sent.SerializeToString(), METRICS)
    assert (batch.accepted, batch.refusals.count) == (2, 98)


def test_long_names_of_attributes_are_not_remembered() -> None:
    taken_in(traces([span(attributes={"gen_ai.operation.name": "chat"})]).SerializeToString())
    before = _remembered()
    for number in range(9):
        attributes = {"gen_ai.operation.name": "chat", f"{number}{'k' * vocabulary.PLANNED_CHARACTERS}": 1}
        assert taken_in(traces([span(attributes=attributes)]).SerializeToString()).accepted == 1
    assert _remembered() == before


def _remembered() -> tuple[int, int]:
    return content._known.cache_info().currsize, sum(len(plans) for _, plans in vocabulary._PLANS.values())


def test_small_bodies_of_large_rows_are_made_into_rows_a_few_at_a_time(start: Start) -> None:
    collector = start("[collector.queue]\nmax_mb = 400\n")
    resource = {f"k{number}": "x" * 8_000 for number in range(100)}
    body = gzip.compress(traces([span(number) for number in range(1, 61)], resource).SerializeToString())
    for _ in range(4):
        assert collector.post("/v1/traces", body, **{"content-encoding": "gzip"}).status_code == 200
    assert collector.settle() == 200
    assert collector.query("SELECT count(*) FROM spans") == [[240]]
    text = collector.http.get("/metrics").text
    commits = next(float(line.split()[1]) for line in text.splitlines() if line.startswith(COMMITS))
    assert commits >= 4  # 48 MB of rows each: no two in one group
