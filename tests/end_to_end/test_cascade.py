"""The cascade on the shipped models: a refused answer's joules are its request's."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from analytics.reports import traces
from store import reading
from tests.end_to_end.conftest import ROOT, Running, chat, start

pytestmark = pytest.mark.timeout(400)
REQUESTS = """
    SELECT r.tier, r.escalated_from, r.route_policy, r.success, r.energy_j, count(*) AS attempts,
           string_agg(a.outcome, ' ' ORDER BY a.attempt) AS outcomes, sum(a.energy_j) AS attempts_j,
           sum(a.energy_j) FILTER (WHERE a.outcome = 'refused') AS refused_j
    FROM requests r JOIN attempts a USING (request_id)
    GROUP BY r.request_id, r.tier, r.escalated_from, r.route_policy, r.success, r.energy_j
"""
HELD_OUT = ROOT / "serving" / "weights" / "heldout.jsonl"


@pytest.fixture(scope="module")
def cascading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo's stack with the cascade, whose threshold keeps about half of the answers on trial."""
    overrides = {
        "serving.gateway.cache": "none",
        "serving.gateway.policy": "cascade",
        "serving.gateway.routing": {"cascade": {"threshold": 0.95}},
    }
    started = start(ROOT / "config" / "demo.toml", tmp_path_factory.mktemp("cascade"), overrides)
    for _ in range(2):  # the second reading begins an interval of the ledger: what is asked before it has no price
        await_metered(started)
    yield started
    started.processes.stop()


def test_both_attempts_are_one_request_that_pays_for_both(cascading: Running) -> None:
    rows = [json.loads(line) for line in HELD_OUT.read_text().splitlines()]
    hard = [row for row in rows if row["difficulty"] == "hard"][:30]
    headers = {"authorization": "Bearer demo-archive"}
    for row in hard:
        body = {"model": "auto", "messages": row["messages"], "max_tokens": row["max_tokens"], "temperature": 0}
        chat(cascading.urls["gateway"], body, headers)
    found = settled(cascading, len(hard))
    assert len(found) == len(hard)
    assert all(row["success"] and row["route_policy"] == "cascade" for row in found)
    escalated = [row for row in found if row["escalated_from"] == "scout"]
    kept = [row for row in found if row["escalated_from"] is None]
    assert escalated, "the scout is sure of every hard question"
    assert kept, "the scout is sure of no hard question"
    assert {(row["tier"], row["attempts"], row["outcomes"]) for row in escalated} == {("expert", 2, "refused answered")}
    assert {(row["tier"], row["attempts"], row["outcomes"]) for row in kept} == {("scout", 1, "answered")}
    priced = [row for row in escalated if row["energy_j"] is not None]
    assert priced
    for row in priced:
        assert row["energy_j"] == pytest.approx(row["attempts_j"])
        assert row["refused_j"] > 0


def await_metered(cascading: Running) -> None:
    """Until the CPU time of both engines was read once from now."""
    since_ns, deadline = time.time_ns(), time.monotonic() + 30
    with reading.open(cascading.urls["collector"]) as reader:
        while not traces.are_metered(reader, ["scout", "expert"], since_ns):
            assert time.monotonic() < deadline, "nobody reads the engines' CPU time"
            time.sleep(0.2)


def settled(cascading: Running, count: int) -> list[dict[str, Any]]:
    """Every request with its attempts, once all of them are there and have a price where there is one."""
    deadline = time.monotonic() + 60
    while True:
        cascading.settle()
        found = cascading.query(REQUESTS)
        if (len(found) == count and any(row["refused_j"] for row in found)) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)
