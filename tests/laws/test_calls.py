"""Calls that are found by columns are those that are found one by one, whatever the spans are linked like."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics.relations.calls import _Finder, find_calls
from analytics.relations.layers import Calls
from analytics.relations.links import unique
from analytics.relations.plain import plain_calls
from store import schemas

IDS = [f"s{number}" for number in range(9)]
spans = st.fixed_dictionaries(
    {
        "trace_id": st.sampled_from(["t", "u", "v"]),
        "span_id": st.sampled_from([*IDS, ""]),
        "parent_span_id": st.sampled_from([None, *IDS, "lost", ""]),
        "role": st.sampled_from([None, "client", "gateway", "attempt", "engine", "engine", "odd"]),
        "operation": st.sampled_from([None, None, "invoke_agent"]),
        "cache_result": st.sampled_from([None, None, "exact", "miss"]),
        "attempt": st.sampled_from([None, 1, 2]),
        "outcome": st.sampled_from([None, "answered", "failed"]),
        "request_id": st.sampled_from([None, None, "r1", "r2"]),
        "start_ns": st.integers(0, 6),
        "received_ns": st.integers(0, 6),
    }
)
REST = {"name": "n", "kind": "SERVER", "status": "OK", "end_ns": 9}
CHAIN = [
    {"trace_id": "t", "span_id": f"s{at}", "parent_span_id": f"s{at - 1}" if at else None, "role": role, "start_ns": at}
    | {"received_ns": 9 - at}
    for at, role in enumerate(["client", None, "gateway", "attempt", "engine"])
]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return unique(pa.Table.from_pylist([REST | row for row in rows], schema=schemas.arrow("spans")))


def told(calls: Calls) -> dict[int, tuple[Any, list[Any]]]:
    """By root, the rows of its request and of each of its attempts with number and answer."""
    found: dict[int, tuple[Any, list[Any]]] = {}
    layers = (calls.requests, calls.attempts)
    requests, attempts = (
        list(zip(*(getattr(one, name).to_pylist() for name in type(one).__slots__), strict=True)) for one in layers
    )
    for row in requests:
        found[row[0]] = (row, [])
    for row, of, *rest in zip(
        attempts,
        calls.attempt_requests.to_pylist(),
        calls.attempt_numbers.to_pylist(),
        calls.answers.to_pylist(),
        strict=True,
    ):
        found[requests[of][0]][1].append((row, *rest))
    return found


@settings(max_examples=400, deadline=None)
@given(st.lists(spans, max_size=25))
@example(CHAIN)
@example(CHAIN[2:])
@example([*CHAIN, CHAIN[3] | {"span_id": "s8", "attempt": 2}])
@example([CHAIN[0] | {"parent_span_id": "s4"}, *CHAIN[1:]])
def test_columns_find_what_looking_at_each_finds(rows: list[dict[str, Any]]) -> None:
    given_spans = table(rows)
    every = pa.array(np.arange(given_spans.num_rows))
    calls = find_calls(given_spans)
    assert told(calls) == told(_Finder(given_spans).calls().of(every))
    starts = given_spans["start_ns"].take(calls.requests.root).to_pylist()
    assert starts == sorted(starts)
    assert calls.attempt_requests.to_pylist() == sorted(calls.attempt_requests.to_pylist())


def test_a_call_of_every_layer_is_plain_and_a_retry_is_not() -> None:
    calls, others = plain_calls(table(CHAIN))
    assert len(calls.requests.root) == 1
    assert len(others) == 0
    calls, others = plain_calls(table([*CHAIN, CHAIN[3] | {"span_id": "s8", "attempt": 2}]))
    assert len(calls.requests.root) == 0
    assert len(others) == 6
