"""A machine that fails a running collector: its clock is set, its threads die. Nothing acknowledged is lost."""

import time
from pathlib import Path

import httpx
import pytest

from tests.collector.hostile.inside import PATIENCE_S, Inside
from tests.collector.payloads import counter, span, traces
from tests.collector.running_collector import RunningCollector, Start

CALL = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.output_tokens": 8}
DAY_S = 86_400


def posted(collector: RunningCollector, number: int, wrong_s: int = 0) -> int:
    """The status of a post of one call, by a sender whose clock is wrong as well."""
    start_ns = time.time_ns() + wrong_s * 1_000_000_000 - 2_000_000_000
    return collector.post("/v1/traces", traces([span(number, start_ns=start_ns, attributes=CALL)])).status_code


def requests(collector: RunningCollector) -> list[list[int]]:
    assert collector.settle() == 200
    return collector.query("SELECT count(*), count(DISTINCT trace_id) FROM requests")


@pytest.mark.parametrize("wrong_s", [-3_600, -2 * DAY_S, 3_600, 2 * DAY_S], ids=lambda wrong_s: f"{wrong_s:+d} s")
def test_the_clock_is_set_and_set_back(start: Start, tmp_path: Path, wrong_s: int) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(environment=inside.environment)
    assert posted(collector, 1) == 200
    assert requests(collector) == [[1, 1]]
    inside.set_clock(wrong_s)
    assert posted(collector, 2, wrong_s) == 200
    assert requests(collector) == [[2, 2]]
    inside.set_clock(0)
    assert posted(collector, 3) == 200
    assert requests(collector) == [[3, 3]]
    assert collector.query("SELECT count(*) FROM spans") == [[3]]
    collector.kill()
    again = start()
    assert posted(again, 4) == 200
    assert requests(again) == [[4, 4]]


def test_spans_of_senders_a_day_ahead_are_refused_by_name_after_the_clock_fell_back(
    start: Start, tmp_path: Path
) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(environment=inside.environment)
    inside.set_clock(-2 * DAY_S)
    answer = collector.post("/v1/traces", traces([span(1, attributes=CALL)]))
    assert (answer.status_code, b"over a day in the future" in answer.content) == (200, True)
    inside.set_clock(0)
    assert posted(collector, 1) == 200
    assert requests(collector) == [[1, 1]]


def test_counters_go_on_over_a_set_clock(start: Start, tmp_path: Path) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(environment=inside.environment)
    for wrong_s in (0, 3_600, 0):
        inside.set_clock(wrong_s)
        assert collector.post("/v1/metrics", counter("hw.energy", 5.0, {"hw.id": "g"})).status_code == 200
    assert collector.settle() == 200
    assert collector.http.get("/health").json() == {"status": "ok"}
    assert collector.query("SELECT count(*) FROM metric_points WHERE metric = 'hw.energy'") == [[3]]


def test_a_killed_writer_is_said_and_no_request_hangs_or_is_lost(start: Start, tmp_path: Path) -> None:
    inside = Inside(tmp_path / "inside")
    collector = start(environment=inside.environment)
    assert posted(collector, 1) == 200
    inside.kill("writer")
    acknowledged = [1]
    deadline = time.monotonic() + PATIENCE_S
    number = 1
    while not (inside.killed() and collector.http.get("/health").status_code == 503):
        assert time.monotonic() < deadline
        number += 1
        status = posted(collector, number)  # it dies when it next has work
        assert status in (200, 503)
        if status == 200:
            acknowledged.append(number)
    status = posted(collector, number + 1)
    assert status in (200, 503)
    acknowledged += [number + 1] if status == 200 else []
    assert "restart the collector" in collector.http.get("/health").json()["status"]
    collector.stop()
    again = start()
    stored = {int(trace_id, 16) for (trace_id,) in again.query("SELECT trace_id FROM spans")}
    assert set(acknowledged) <= stored
    [[settled, distinct]] = requests(again)
    assert settled == distinct == len(stored)
    assert httpx.get(f"{again.url}/health").json() == {"status": "ok"}
