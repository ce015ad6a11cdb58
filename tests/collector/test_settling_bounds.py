"""What a settling pass holds is bounded by its structure, whatever is waiting; and what waited survives ``kill -9``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.simulation import Simulated
from analytics.relations.settlement import BUCKET_NS
from collector.settling import fresh, news, settle, touched
from collector.settling.arrived import Arrived
from collector.settling.buckets import Runs
from collector.settling.settle import Settler
from store.settled import Staging
from store.writing import Store
from tests.collector.test_settle import SETTINGS, joules, points_of, run, settled_at_once, simulated, spans_of

__all__ = ["simulated"]  # a fixture

PASS_ROWS, SLICE_ROWS, ENERGY_ATTEMPTS = 60, 20, 90
SECOND = 1_000_000_000
KILLED = """
import os, signal, sys
import pyarrow as pa
from collector.settling import news, settle, touched
from tests.collector.test_settle import SETTINGS
from store.writing import Store
news.PASS_ROWS = touched.SLICE_ROWS = settle.ENERGY_ATTEMPTS = 60
store = Store.open(sys.argv[1], memory_limit="256MB")
settler, passes, staged = settle.Settler(store, SETTINGS), int(sys.argv[2]), Store.stage
def killed(*given):
    staged(*given)
    if passes == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Store.stage = killed
for _ in range(20):
    settler._pass(0)
    passes -= 1
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "PASS_ROWS", PASS_ROWS)
    monkeypatch.setattr(fresh, "PART_ROWS", 25)
    monkeypatch.setattr(touched, "SLICE_ROWS", SLICE_ROWS)
    monkeypatch.setattr(settle, "ENERGY_ATTEMPTS", ENERGY_ATTEMPTS)


class Watched:
    """What passes hand to the store and to the ledger, one entry a time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[int] = []
        self.energy_buckets: list[int] = []
        self.fresh: list[int] = []
        self._stage, self._replace, self._touch = Store.stage, Store.replace_buckets, touched.Touched.__init__
        monkeypatch.setattr(Store, "stage", lambda *given: self.staged(*given))
        monkeypatch.setattr(Store, "replace_buckets", lambda *given, **named: self.replaced(*given, **named))
        monkeypatch.setattr(touched.Touched, "__init__", lambda *given: self.touched(*given))

    def staged(self, store: Store, staging: Staging, relation: str, rows: pa.Table) -> None:
        self.requests.append(rows.num_rows)
        self._stage(store, staging, relation, rows)

    def replaced(
        self, store: Store, tables: Mapping[str, pa.Table], buckets: Mapping[str, Sequence[int]], **named: Any
    ) -> bool:
        self.requests += [tables[name].num_rows for name in ("requests", "attempts") if name in tables]
        return self._replace(store, tables, buckets, **named)

    def touched(self, one: touched.Touched, store: Store, fresh: Arrived, energy: Runs, *given: Any) -> None:
        self.fresh.append(fresh.calls.num_rows)
        self.energy_buckets.append(sum((high - low) // BUCKET_NS for low, high in energy))
        self._touch(one, store, fresh, energy, *given)


@pytest.mark.usefixtures("bounded")
def test_a_pass_over_many_lagging_buckets_holds_few_at_once(
    store: Store, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    watched = Watched(monkeypatch)
    run(lambda: Settler(store, SETTINGS).settle_now())
    assert store.query("SELECT count(*) AS n FROM requests")["n"].to_pylist() == [450]
    assert len(watched.fresh) >= 450 // PASS_ROWS
    assert max(watched.fresh) <= PASS_ROWS + 1, "rows up to the one at which a pass is full"
    assert max(watched.requests) <= SLICE_ROWS
    assert max(watched.energy_buckets) == 1, "a bucket and its neighbours have 150 attempts"


@pytest.mark.usefixtures("bounded")
def test_bounded_passes_end_in_the_rows_of_one_pass(store: Store, simulated: Simulated, tmp_path: Path) -> None:
    spans, points = spans_of(simulated), points_of(simulated)
    store.append_raw({"spans": spans, "metric_points": points})
    run(lambda: Settler(store, SETTINGS).settle_now())
    _has_the_rows_of_one_pass(store, spans, points, tmp_path)


@pytest.mark.parametrize("passes", [0, 2, 5])
def test_killed_in_the_middle_of_a_lag_nothing_is_skipped_or_doubled(
    simulated: Simulated, tmp_path: Path, passes: int
) -> None:
    """In the middle of a pass, when part of it is staged; the newest energy is then an hour ahead of the spans."""
    spans, points = spans_of(simulated), points_of(simulated)
    late = 3_600 * SECOND  # the spans were received an hour before the last point
    early = {name: pc.subtract(spans[name], late) for name in ("received_ns", "start_ns", "end_ns")}
    ids = pa.array([f"{number + 10**6:016x}" for number in range(spans.num_rows)])
    old = spans
    for name, values in {**early, "trace_id": ids, "span_id": ids}.items():
        old = old.set_column(old.column_names.index(name), spans.schema.field(name), values)
    with Store.open(tmp_path / "store", memory_limit="256MB") as store:
        store.append_raw({"spans": old})
        store.append_raw({"spans": spans, "metric_points": points})
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), str(passes)]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    with Store.open(tmp_path / "store", memory_limit="256MB") as store:
        assert store.query("SELECT count(*) AS n FROM requests")["n"][0].as_py() < 900, "killed while it lagged"
        run(lambda: Settler(store, SETTINGS).settle_now())
        _has_the_rows_of_one_pass(store, pa.concat_tables([old, spans]), points, tmp_path)


def test_a_stop_in_the_middle_of_a_lag_ends_the_pass_and_the_next_start_goes_on(
    store: Store, simulated: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: None
) -> None:
    spans, points = spans_of(simulated), points_of(simulated)
    store.append_raw({"spans": spans, "metric_points": points})
    monkeypatch.setattr(settle, "LAST_S", 0.0)
    settler = Settler(store, SETTINGS)
    stage, staged = Store.stage, [0]

    def stop_in_the_second_pass(own: Store, staging: Staging, relation: str, rows: pa.Table) -> None:
        stage(own, staging, relation, rows)
        staged.append(rows.num_rows if relation == "requests" else 0)
        if own.query("SELECT count(*) AS n FROM requests")["n"][0].as_py():
            settler.stop()

    monkeypatch.setattr(Store, "stage", stop_in_the_second_pass)
    run(settler.finish)
    seen = store.query("SELECT count(*) AS n FROM requests")["n"][0].as_py()
    assert 0 < seen < sum(staged) < 450, "half a pass is not seen"
    monkeypatch.setattr(Store, "stage", stage)
    run(lambda: Settler(store, SETTINGS).settle_now())
    _has_the_rows_of_one_pass(store, spans, points, tmp_path)


def test_how_far_settlement_lags_is_told(
    store: Store, simulated: Simulated, monkeypatch: pytest.MonkeyPatch, bounded: None
) -> None:
    spans = spans_of(simulated)
    store.append_raw({"spans": spans})
    settler = Settler(store, SETTINGS)
    monkeypatch.setattr(settle.time, "time_ns", lambda: pc.max(spans["received_ns"]).as_py())
    settler._pass(0)
    assert settler.lag_s > 60, "the first pass settles the first 12 of 90 seconds"
    run(settler.settle_now)
    assert settler.lag_s == 0


def _has_the_rows_of_one_pass(store: Store, spans: pa.Table, points: pa.Table, tmp_path: Path) -> None:
    expected = settled_at_once(tmp_path, ("spans", spans), ("metric_points", points))
    found = joules(store)
    assert {key[0] for key in found} == {key[0] for key in expected}
    # the first passes know less of what a step costs than one over everything
    assert sum(found.values()) == pytest.approx(sum(expected.values()), rel=1e-2)
    counted = "SELECT count(*) AS n, count(DISTINCT request_id) AS ids, count(energy_j) AS known FROM requests"
    with Store.open(tmp_path / "reference", memory_limit="256MB") as reference:
        assert store.query(counted).to_pylist() == reference.query(counted).to_pylist()
    of_requests = store.query("SELECT sum(energy_j) AS j FROM requests")["j"][0].as_py()
    assert of_requests == pytest.approx(sum(found.values()), rel=1e-12)
    spent = store.query("SELECT sum(joules) AS j FROM energy_spent WHERE part IN ('successful', 'failed')")
    assert spent["j"][0].as_py() == pytest.approx(of_requests, rel=1e-12)
    attempts = "SELECT count(*) AS n, sum(energy_j) AS j FROM attempts"
    rows = store.query(attempts).to_pylist()[0]
    assert (rows["n"], rows["j"]) == (spans.num_rows, pytest.approx(of_requests, rel=1e-12))
