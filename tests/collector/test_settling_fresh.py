"""How far back a pass looks for the other spans of a trace, and which buckets' energy it leaves for later."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.settings import SettleSettings
from collector.settling import fresh, settle
from collector.settling.due import RIPE_NS, RIPEST_NS, Due
from collector.settling.settle import Settler
from store import schemas
from store.writing import Store
from tests.collector.test_settle import run

SECOND = 1_000_000_000
BEGIN = 1_795_000_000 * SECOND
ROLES = {"c": "client", "g": "gateway", "a": "attempt", "b": "attempt", "e": "engine"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, memory_limit="512MB") as opened:
        yield opened


def span(name: str, parent: str | None, begun: float, ended: float, received: float, **values: Any) -> dict[str, Any]:
    """Of trace ``t``; seconds from ``BEGIN``; the first letter of its name is its role."""
    return {
        "trace_id": "t", "span_id": name, "parent_span_id": parent, "role": ROLES[name[0]], "name": "chat",
        "kind": "SERVER", "status": "OK", "start_ns": BEGIN + round(begun * SECOND),
        "end_ns": BEGIN + round(ended * SECOND), "received_ns": BEGIN + round(received * SECOND),
    } | values  # fmt: skip


def settled(store: Store, *arrivals: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Attempts' outcomes or engines by request, after a pass for each of ``arrivals``."""
    settler = Settler(store, SettleSettings())
    for rows in arrivals:
        store.append_raw({"spans": pa.Table.from_pylist(rows, schema=schemas.arrow("spans"))})
        run(settler.settle_now)
    found: dict[str, list[str]] = {one: [] for one in store.query("SELECT request_id FROM requests")[0].to_pylist()}
    for row in store.query("SELECT request_id, engine FROM attempts ORDER BY started_at").to_pylist():
        found[row["request_id"]].append(row["engine"])
    return found


def test_what_came_a_moment_before_is_found_and_a_call_of_long_ago_is_left_as_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [span("g1", None, 0, 5, 6), span("e1", "g1", 1, 5, 6, engine="old")]
    engine = [span("e2", "g2", 901, 904, 905, engine="new")]
    gateway = [span("g2", None, 900, 905, 906)]
    assert settled(store, before, engine) == {"t:g1": ["old"], "t:e2": ["new"]}
    read: list[int] = []
    real = fresh.fresh_spans
    monkeypatch.setattr(settle, "fresh_spans", lambda *given: (read.append(len(part)) or part for part in real(*given)))
    assert settled(store, gateway) == {"t:g1": ["old"], "t:g2": ["new"]}
    assert read[-1] == 2, "the call of a quarter of an hour ago is not read again"


def test_a_call_that_lasted_ten_minutes_keeps_the_attempt_that_failed_at_its_begin(store: Store) -> None:
    failed = [span("a1", "g1", 1, 2, 3, engine="first", attempt=1, outcome="failed")]
    answered = [span("b1", "g1", 3, 600, 601, engine="second", attempt=2, outcome="answered")]
    gateway = [span("g1", None, 0, 600, 602)]
    assert settled(store, failed, answered, gateway) == {"t:g1": ["first", "second"]}


def test_a_gateway_whose_clock_is_an_hour_ahead_finds_what_its_engine_sent_before(store: Store) -> None:
    engine = [span("e1", "g1", 1, 10, 11, engine="right")]
    gateway = [span("g1", None, 3_600, 3_900, 302)]  # it lasted five minutes
    assert settled(store, engine, gateway) == {"t:g1": ["right"]}


def test_a_long_sibling_that_is_read_again_is_read_whole(store: Store) -> None:
    first = [span("a1", "g1", 1, 2, 3, engine="first", attempt=1, outcome="failed")]
    long = [span("b1", "g1", 3, 400, 401, engine="second", attempt=2), span("g1", None, 0, 400, 401)]
    sibling = [span("g2", None, 402, 404, 405), span("e2", "g2", 403, 404, 405, engine="third")]
    assert settled(store, first, long, sibling) == {"t:g1": ["first", "second"], "t:g2": ["third"]}


def test_a_pass_that_lags_leaves_buckets_until_nothing_new_comes_to_them() -> None:
    due = Due([10])
    due.touch({20, 30}, BEGIN)
    assert due.ready(30, BEGIN, lags=False) == [10, 20]
    assert due.ready(40, BEGIN, lags=True) == [10], "what was due at the start was touched long ago"
    due.touch({30}, BEGIN + RIPE_NS)
    assert due.ready(40, BEGIN + RIPE_NS, lags=True) == [10, 20]
    for seconds in range(RIPE_NS, RIPEST_NS, RIPE_NS // 2):
        due.touch({30}, BEGIN + seconds)
        assert due.ready(40, BEGIN + seconds, lags=True) == [10, 20]
    assert due.ready(40, BEGIN + RIPEST_NS, lags=True) == [10, 20, 30], "calls of minutes do not put it off for ever"
    due.done({10, 30})
    assert due.ready(40, BEGIN, lags=False) == [20]
    assert (due.earliest(5), due.earliest(25)) == (5, 20)
