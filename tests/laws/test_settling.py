"""Whatever the order of arrival, with repeats and restarts: each call is one request, as settled from all its spans."""

import asyncio
import tempfile
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.relations.settlement import settle
from collector.settings import SettleSettings
from collector.settling import news
from collector.settling.settle import Settler
from store import schemas
from store.writing import Store

SECOND = 1_000_000_000
BEGIN = 1_800_000_000 * SECOND
LATENESS_S = 600.0
SETTINGS = SettleSettings(lateness_s=LATENESS_S)
LAYERS = (("c", None, "client"), ("g", "c", "gateway"), ("a", "g", "attempt"), ("e", "a", "engine"))


@dataclass(frozen=True)
class Arrival:
    """Which span comes next, whether it is sent twice, and what happens after it."""

    order: float
    repeated: bool
    then: str


arrivals = st.builds(Arrival, st.floats(0, 1), st.booleans(), st.sampled_from(["", "", "", "settle", "restart"]))
calls = st.tuples(st.integers(0, 5), st.integers(0, 150), st.lists(arrivals, min_size=4, max_size=4))


def spans_of(number: int, trace: int, at_s: int) -> list[dict[str, Any]]:
    """A call of four layers; calls of one trace are siblings."""
    shared = {"trace_id": f"t{trace}", "name": "chat", "kind": "SERVER", "status": "OK", "finish_reason": "stop"}
    start = BEGIN + at_s * SECOND
    return [
        shared
        | {"span_id": f"{layer}{number}", "parent_span_id": parent and f"{parent}{number}", "role": role}
        | {"start_ns": start + depth * 20_000_000, "end_ns": start + 2 * SECOND, "output_tokens": number}
        for depth, (layer, parent, role) in enumerate(LAYERS)
    ]


@settings(max_examples=12, deadline=None)
@given(st.lists(calls, min_size=1, max_size=8))
def test_no_request_is_lost_or_doubled(world: list[tuple[int, int, list[Arrival]]]) -> None:
    every = [
        (arrival, row)
        for number, (trace, at_s, arriving) in enumerate(world)
        for arrival, row in zip(arriving, spans_of(number, trace, at_s), strict=True)
    ]
    every.sort(key=lambda pair: pair[0].order)
    rows = [row | {"received_ns": BEGIN + (200 + place) * SECOND} for place, (_, row) in enumerate(every)]
    with tempfile.TemporaryDirectory() as folder, Store.open(folder, memory_limit="256MB") as store:
        asyncio.run(_arrive(store, [arrival for arrival, _ in every], rows))
        found = store.query("SELECT request_id, output_tokens FROM requests ORDER BY request_id").to_pylist()
        attempts = store.query("SELECT request_id FROM attempts ORDER BY request_id")["request_id"].to_pylist()
    assert found == [{"request_id": _root(*one), "output_tokens": one[0]} for one in sorted(_named(world), key=_key)]
    assert attempts == [row["request_id"] for row in found]


def test_a_span_later_than_the_limit_is_stored_counted_and_not_settled() -> None:
    client, *rest = (row | {"received_ns": BEGIN + 10 * SECOND} for row in spans_of(1, 1, 0))
    client["received_ns"] = client["end_ns"] + round(LATENESS_S * SECOND) + 1
    with tempfile.TemporaryDirectory() as folder, Store.open(folder, memory_limit="256MB") as store:
        settler = Settler(store, SETTINGS)
        for rows in (rest, [client]):
            store.append_raw({"spans": _table(rows)})
            asyncio.run(settler.settle_now())
        assert store.query("SELECT request_id FROM requests").to_pylist() == [{"request_id": "t1:g1"}]
        assert store.query("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [4]
        assert settler.late_spans == 1


def _named(world: list[tuple[int, int, list[Arrival]]]) -> list[tuple[int, int]]:
    return [(number, trace) for number, (trace, _, _) in enumerate(world)]


def _root(number: int, trace: int) -> str:
    return f"t{trace}:c{number}"


def _key(one: tuple[int, int]) -> str:
    return _root(*one)


async def _arrive(store: Store, arriving: list[Arrival], rows: list[dict[str, Any]]) -> None:
    settler = Settler(store, SETTINGS)
    for arrival, row in zip(arriving, rows, strict=True):
        store.append_raw({"spans": _table([row] * (2 if arrival.repeated else 1))})
        if arrival.then:
            await settler.settle_now()
        if arrival.then == "restart":
            settler = Settler(store, SETTINGS)
    await settler.settle_now()
    whole = settle(_table(rows)).requests
    assert len(set(whole["request_id"].to_pylist())) == whole.num_rows


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schemas.arrow("spans"))


def test_passes_that_take_few_rows_end_with_the_same_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "PASS_ROWS", 3)
    calls = [spans_of(number, trace=number, at_s=0) for number in range(6)]
    rows = [
        row | {"received_ns": BEGIN + place * SECOND} for place, row in enumerate(row for call in calls for row in call)
    ]
    with tempfile.TemporaryDirectory() as folder, Store.open(folder, memory_limit="256MB") as store:
        store.append_raw({"spans": _table(rows)})
        asyncio.run(Settler(store, SETTINGS).settle_now())
        found = store.query("SELECT request_id FROM requests ORDER BY 1")["request_id"].to_pylist()
    assert found == [f"t{number}:c{number}" for number in range(6)]
