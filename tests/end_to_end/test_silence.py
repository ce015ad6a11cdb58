"""The collector, then the engine, stand still for six seconds while requests run: every request has its joules."""

import itertools
import os
import signal
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Running, chat, start

pytestmark = pytest.mark.timeout(400)
BETWEEN_SAMPLES = """
    SELECT device, max(gap) / 1e9 AS longest_s, max(joules) - min(joules) AS joules FROM (
        SELECT device, value AS joules, time_ns - lag(time_ns) OVER (PARTITION BY device ORDER BY time_ns) AS gap
        FROM metric_points WHERE metric = 'hw.energy') GROUP BY device"""
SERIES = "SELECT count(DISTINCT start_ns) AS n FROM metric_points WHERE metric = 'hw.energy'"
BALANCE = """
    SELECT sum(total_j) AS total, sum(attributed_j + idle_j + unattributed_j) AS parts,
           sum(attributed_j) AS attributed, count(*) FILTER (unattributed_reason = 'gap') AS gaps,
           epoch_ns(min(started_at)) AS low, epoch_ns(max(ended_at)) AS high
    FROM energy_intervals"""
REQUESTS = """
    SELECT epoch_ns(started_at) / 1e9 AS began_s, epoch_ns(ended_at) / 1e9 AS ended_s, energy_j, energy_quality
    FROM requests"""


@pytest.fixture
def scout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A collector that samples every two seconds, and one engine."""
    overrides = {"collector.sampler.interval_s": 2.0}
    parts = frozenset({"collector", "engine"})
    started = start(ROOT / "config" / "demo.toml", tmp_path_factory.mktemp("silence"), overrides, only=parts)
    yield started
    started.processes.stop()


def test_nobody_who_ran_while_a_process_stood_still_is_without_joules(scout: Running) -> None:
    asking, answered = threading.Event(), []
    until(lambda: sampled(scout, "process.cpu.time") >= 2)  # nobody knows what an engine used before it was found
    callers = [threading.Thread(target=ask, args=(scout, asking, answered), daemon=True) for _ in range(4)]
    for caller in callers:
        caller.start()
    begun = sampled(scout)
    until(lambda: sampled(scout) >= begun + 4)
    stopped = [stand_still(scout, name, answered) for name in ("collector", "engine:scout")]
    newest = sampled(scout)
    until(lambda: sampled(scout) >= newest + 3)
    asking.set()
    for caller in callers:
        caller.join(60)
    last_s = time.time()
    until(lambda: energy_until(scout) > last_s + 2)
    scout.settle()
    requests, (balance,) = scout.query(REQUESTS), scout.query(BALANCE)
    (device,) = scout.query(BETWEEN_SAMPLES)
    assert device["longest_s"] > 5, "the collector did not stand still"
    assert scout.query(SERIES)[0]["n"] == 1
    assert len(requests) >= len(answered) > 20
    assert [row for row in requests if row["energy_j"] is None] == []
    assert all(row["energy_j"] > 0 for row in requests)
    for begin_s, end_s in stopped:
        assert any(row["began_s"] < end_s and row["ended_s"] > begin_s for row in requests), "nobody ran meanwhile"
    assert balance["gaps"] == 0
    assert balance["parts"] == pytest.approx(balance["total"], rel=1e-12)
    assert balance["total"] == pytest.approx(counted(scout, balance["low"], balance["high"]), rel=1e-6)
    assert sum(row["energy_j"] for row in requests) == pytest.approx(balance["attributed"], rel=1e-6)


def ask(scout: Running, stop: threading.Event, answered: list[float]) -> None:
    """One question after the other; a call that ends while the engine stands still is asked again."""
    body = {"model": "scout", "messages": [{"role": "user", "content": "Sort: 31 5 18 44"}], "max_tokens": 40}
    while not stop.is_set():
        try:
            chat(scout.urls["engine:scout"], body)
            answered.append(time.time())
        except urllib.error.URLError:
            continue


def stand_still(scout: Running, name: str, answered: list[float]) -> tuple[float, float]:
    """Stop the process ``name`` for six seconds and let it go on; when that was."""
    process = scout.processes.pid(name)
    began_s = time.time()
    os.kill(process, signal.SIGSTOP)
    try:
        time.sleep(6.0)
    finally:
        os.kill(process, signal.SIGCONT)
    ended_s = time.time()
    until(lambda: bool(answered) and answered[-1] > ended_s)
    return began_s, ended_s


def until(holds: Callable[[], bool]) -> None:
    """Wait for what will be so within a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def sampled(scout: Running, metric: str = "hw.energy") -> int:
    sql = "SELECT count(*) AS n FROM metric_points WHERE metric = $metric AND engine IS DISTINCT FROM 'expert'"
    return int(scout.query(sql, metric=metric)[0]["n"])


def energy_until(scout: Running) -> float:
    newest = scout.query("SELECT max(time_ns) / 1e9 AS s FROM metric_points WHERE metric = 'hw.energy'")[0]["s"]
    return float(newest)


def counted(scout: Running, low_ns: int, high_ns: int) -> float:
    """What the meter counted between two moments, read off its samples."""
    rows: list[dict[str, Any]] = scout.query(
        "SELECT time_ns, value FROM metric_points WHERE metric = 'hw.energy' ORDER BY time_ns"
    )

    def at(moment: int) -> float:
        before, after = next(
            pair for pair in itertools.pairwise(rows) if pair[0]["time_ns"] <= moment <= pair[1]["time_ns"]
        )
        part = (moment - before["time_ns"]) / (after["time_ns"] - before["time_ns"])
        return float(before["value"] + part * (after["value"] - before["value"]))

    return at(high_ns) - at(low_ns)
