"""Spans that come long after their end: a recording is settled, a straggler of a settled trace is counted and left."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.settings import SettleSettings
from collector.settling.settle import Settler
from store import compaction, schemas, sealing
from store.writing import Store
from tests.collector.test_settle import run

SECOND = 1_000_000_000
ENDED = 1_795_000_000 * SECOND
MONTH = 30 * 86_400 * SECOND
HOUR = 3_600 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, memory_limit="512MB") as opened:
        yield opened


def span(
    trace: str, identity: str, received_ns: int, parent: str | None = None, role: str = "engine"
) -> dict[str, Any]:
    return {
        "received_ns": received_ns, "trace_id": trace, "span_id": identity, "parent_span_id": parent, "name": role,
        "kind": "SERVER", "status": "OK", "role": role, "finish_reason": "stop", "output_tokens": 8,
        "start_ns": ENDED - SECOND, "end_ns": ENDED,
    }  # fmt: skip


def append(store: Store, *spans: dict[str, Any]) -> None:
    store.append_raw({"spans": pa.Table.from_pylist(list(spans), schema=schemas.arrow("spans"))})


def requests(store: Store) -> list[str]:
    found: list[str] = store.query("SELECT request_id FROM requests ORDER BY 1")["request_id"].to_pylist()
    return found


def test_a_recording_a_month_old_is_settled_and_posting_it_again_changes_nothing(store: Store) -> None:
    settler = Settler(store, SettleSettings())
    append(store, span("one", "a", ENDED + MONTH), span("two", "b", ENDED + MONTH))
    run(settler.settle_now)
    assert requests(store) == ["one:a", "two:b"]
    append(store, span("one", "a", ENDED + MONTH + SECOND))
    run(settler.settle_now)
    assert requests(store) == ["one:a", "two:b"]
    assert settler.late_spans == 1
    run(Settler(store, SettleSettings()).settle_now)
    assert requests(store) == ["one:a", "two:b"]


@pytest.mark.parametrize("put_away", [sealing.seal, compaction.close])
def test_a_recording_joins_the_requests_of_its_minute_also_on_a_day_that_was_put_away(
    store: Store, put_away: Callable[[Store, int], list[int]]
) -> None:
    append(store, span("one", "a", ENDED + SECOND))
    run(Settler(store, SettleSettings()).settle_now)
    day = ENDED // (86_400 * SECOND)
    assert put_away(store, day + 1) == [day]
    append(store, span("two", "b", ENDED + MONTH))
    run(Settler(store, SettleSettings()).settle_now)
    assert requests(store) == ["one:a", "two:b"]


def test_a_straggler_of_a_settled_trace_makes_no_second_request_and_is_counted(store: Store) -> None:
    settler = Settler(store, SettleSettings())
    append(store, span("one", "root", ENDED + SECOND, role="gateway"))
    run(settler.settle_now)
    append(store, span("one", "engine", ENDED + 3 * HOUR, parent="attempt"))
    run(settler.settle_now)
    assert requests(store) == ["one:root"]
    assert settler.late_spans == 1


def test_within_the_limit_a_late_span_joins_its_request(store: Store) -> None:
    settler = Settler(store, SettleSettings())
    append(store, span("one", "engine", ENDED + SECOND, parent="root"))
    run(settler.settle_now)
    assert requests(store) == ["one:engine"]
    append(store, span("one", "root", ENDED + HOUR // 2, role="gateway"))
    run(settler.settle_now)
    assert requests(store) == ["one:root"]
    assert settler.late_spans == 0
