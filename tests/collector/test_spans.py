"""Spans are kept whole or refused with a reason; nothing is dropped unsaid."""

import time
from typing import Any

import pytest

from collector.decoding.spans import SpanDecoder
from collector.normalising.recognition import every_dialect
from collector.normalising.values import MAX_ATTRIBUTES, MAX_TEXT
from tests.collector.payloads import span, traces

NOW_NS = time.time_ns()


def decode(*spans: Any) -> Any:
    return SpanDecoder(every_dialect()).decode(traces(spans), NOW_NS)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"trace_id": b"short"}, "trace_id"),
        ({"trace_id": bytes(16)}, "trace_id"),
        ({"span_id": b""}, "span_id"),
        ({"parent_span_id": b"xy"}, "parent_span_id"),
        ({"start_ns": NOW_NS, "end_ns": NOW_NS - 1}, "ends before it starts"),
        ({"start_ns": 0, "end_ns": 1}, "not positive"),
        ({"start_ns": NOW_NS // 10**9, "end_ns": NOW_NS // 10**9}, "before the year 2000"),
        ({"start_ns": NOW_NS - 8 * 86_400 * 10**9, "end_ns": NOW_NS}, "over a week"),
        ({"start_ns": NOW_NS, "end_ns": 2**63}, "future"),
        ({"start_ns": 2**64 - 2, "end_ns": 2**64 - 1}, "future"),
    ],
)
def test_a_bad_span_is_refused_with_its_reason_and_the_good_one_kept(bad: dict[str, Any], reason: str) -> None:
    batch = decode(span(1), span(2, **bad))
    assert (batch.accepted, batch.refusals.count) == (1, 1)
    assert reason in batch.refusals.message("spans")


def test_values_of_every_type_are_rendered_as_text() -> None:
    attributes = {"b": True, "i": -7, "d": 1.5, "a": [1, "x", False], "s": "text"}
    seen = decode(span(attributes=attributes)).tables["spans"].to_pylist()[0]
    assert dict(seen["attributes"]) == {"b": "true", "i": "-7", "d": "1.5", "a": '[1, "x", false]', "s": "text"}


def test_long_values_and_many_attributes_are_cut_and_counted() -> None:
    many = {f"k{number}": "v" for number in range(MAX_ATTRIBUTES + 5)}
    batch = decode(span(1, attributes={"long": "x" * (MAX_TEXT + 1)}), span(2, attributes=many))
    longest, widest = (dict(row["attributes"]) for row in batch.tables["spans"].to_pylist())
    assert len(longest["long"]) == MAX_TEXT
    assert len(widest) == MAX_ATTRIBUTES
    assert batch.cut == 6


def test_events_are_kept_as_json() -> None:
    made = span()
    made.events.add(name="retry", time_unix_nano=5).attributes.add(key="n").value.int_value = 2
    seen = decode(made).tables["spans"].to_pylist()[0]
    assert seen["events"] == '[{"time_ns": 5, "name": "retry", "attributes": {"n": "2"}}]'


def test_unknown_kinds_and_states_of_later_versions_are_unspecified() -> None:
    made = span(kind=77)
    made.status.code = -3
    seen = decode(made).tables["spans"].to_pylist()[0]
    assert (seen["kind"], seen["status"]) == ("UNSPECIFIED", "UNSET")


def test_rows_of_many_shapes_are_each_kept_whole() -> None:
    """Rows that tell the same columns are turned together, rare ones column by column."""
    calls = [
        span(number, attributes={"tokenjoule.role": "engine", "gen_ai.request.id": str(number)})
        for number in range(1, 41)
    ]
    others = [span(number, attributes={"k": str(number)}) for number in range(41, 46)]
    mixed = [one for pair in zip(calls, [*others, *[None] * 35], strict=True) for one in pair if one is not None]
    rows = {row["span_id"]: row for row in decode(*mixed).tables["spans"].to_pylist()}
    assert len(rows) == 45
    for number in range(1, 46):
        row = rows[f"{number:016x}"]
        is_call = number <= 40
        assert (row["role"], row["request_id"]) == (("engine", str(number)) if is_call else (None, None))
        assert dict(row["attributes"]) == ({} if is_call else {"k": str(number)})
        assert dict(row["resource"]) == dict(rows[f"{1:016x}"]["resource"])
