"""The settling loop over a real store: late spans, restarts and late commits all end in the same rows."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics import metric
from analytics.ledger.simulation import Load, Meters, Simulated, Truth, simulate
from analytics.metric import Window
from collector.settings import SettleSettings
from collector.settling.settle import Settler, pause_in_a_lag_s, pause_s
from store import schemas
from store.writing import Store

SECOND = 1_000_000_000
SETTINGS = SettleSettings(interval_s=0.02, watermark_s=5.0)
SLOT_TABLES = "SELECT table_name AS name FROM duckdb_tables() WHERE table_name LIKE 'energy_spent_2%'"
ENERGY_METRICS = ("energy", "wasted_energy", "energy_per_successful_token")
DEMO_ENGINE = Truth(0.05, 0.001, 0.0, 0.004, 0.0, 20.0, 0.004, 0.0003, 2e-5, 512, 16)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    """A minute and a half of five short requests a second."""
    random = np.random.default_rng(1)
    size, seconds = 450, 90.0
    arrivals = np.sort(random.uniform(0, seconds, size))
    load = Load(arrivals, random.integers(8, 60, size), np.zeros(size, np.int64), random.integers(2, 24, size))
    return simulate(load, DEMO_ENGINE, Meters(sample_s=1.0, sample_offset_s=0.61))


def spans_of(simulated: Simulated) -> pa.Table:
    """Engine spans, received 0.3 s after they end."""
    attempts, size = simulated.attempts, simulated.attempts.num_rows
    ns = {name: pc.multiply(pc.cast(attempts[name], pa.int64()), 1000) for name in attempts.column_names[5:9]}
    ids = pa.array([f"{number:016x}" for number in range(size)], pa.string())
    texts = {"name": "llm_request", "kind": "SERVER", "status": "OK", "role": "engine", "engine": "e"}
    columns: dict[str, Any] = {key: pa.array([value] * size, pa.string()) for key, value in texts.items()}
    columns |= {"trace_id": ids, "span_id": ids, "finish_reason": pa.array(["stop"] * size, pa.string())}
    columns |= {name: attempts[name] for name in ("input_tokens", "output_tokens", "cached_input_tokens")}
    columns |= {"start_ns": ns["started_at"], "end_ns": ns["ended_at"]}
    columns["queue_s"] = pc.divide(pc.cast(pc.subtract(ns["prefill_started_at"], ns["started_at"]), pa.float64()), 1e9)
    columns["ttft_s"] = pc.divide(pc.cast(pc.subtract(ns["first_token_at"], ns["started_at"]), pa.float64()), 1e9)
    columns["received_ns"] = pc.add(ns["ended_at"], 300_000_000)
    return complete(columns, "spans", size)


def points_of(simulated: Simulated) -> pa.Table:
    points, size = simulated.points, simulated.points.num_rows
    columns = {name: points[name] for name in points.column_names if name != "host"}
    columns |= {"kind": pa.array(["sum"] * size), "temporality": pa.array(["cumulative"] * size)}
    return complete(columns | {"received_ns": points["time_ns"]}, "metric_points", size)


def complete(columns: dict[str, Any], relation: str, size: int) -> pa.Table:
    schema = schemas.arrow(relation)
    return pa.table({f.name: columns.get(f.name, pa.nulls(size, f.type)) for f in schema}, schema=schema)


def between(rows: pa.Table, begin: int, end: int) -> pa.Table:
    received = rows["received_ns"]
    return rows.filter(pc.and_(pc.greater_equal(received, begin), pc.less(received, end)))


def joules(store: Store) -> dict[tuple[str, int, str, Any, str], float]:
    rows = store.query("SELECT * FROM attempt_energy").to_pylist()
    return {
        (row["request_id"], row["attempt"], row["device"], row["started_at"], row["component"]): row["joules"]
        for row in rows
    }


def settled_at_once(tmp_path: Path, *tables: tuple[str, pa.Table]) -> dict[tuple[str, int, str, Any, str], float]:
    """What one pass over everything gives."""
    with Store.open(tmp_path / "reference", memory_limit="512MB") as reference:
        reference.append_raw(dict(tables))
        run(lambda: Settler(reference, SETTINGS).settle_now())
        return joules(reference)


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(work())


def test_everything_is_settled_with_its_joules(store: Store, simulated: Simulated) -> None:
    spans, points = spans_of(simulated), points_of(simulated)
    store.append_raw({"spans": spans, "metric_points": points})
    newest = run(lambda: Settler(store, SETTINGS).settle_now())
    assert newest == max(pc.max(spans["received_ns"]).as_py(), pc.max(points["received_ns"]).as_py())
    row = store.query("SELECT count(*) n, count(energy_j) known, sum(energy_j) j, min(energy_quality) q FROM requests")
    found = row.to_pylist()[0]
    assert (found["n"], found["known"], found["q"]) == (450, 450, "simulated")
    assert found["j"] == pytest.approx(simulated.true_j.sum(), rel=0.02)
    sums = store.query(
        "SELECT sum(total_j) t, sum(attributed_j) a, sum(idle_j) i, sum(unattributed_j) u FROM energy_intervals"
    ).to_pylist()[0]
    assert sums["a"] + sums["i"] + sums["u"] == pytest.approx(sums["t"], rel=1e-12)
    assert sums["a"] == pytest.approx(found["j"], rel=1e-12)
    per_attempt = store.query("SELECT sum(energy_j) FROM attempts").column(0)[0].as_py()
    assert per_attempt == pytest.approx(found["j"], rel=1e-12)
    assert store.query("SELECT * FROM step_models").num_rows == 1


def test_slots_of_spent_energy_answer_like_the_finest_grain(store: Store, simulated: Simulated) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    run(lambda: Settler(store, SETTINGS).settle_now())
    begin = datetime.fromtimestamp(simulated.window_ns[0] // SECOND // 10 * 10, UTC).replace(tzinfo=None)
    window = Window(begin, begin + timedelta(seconds=110))
    slotted = {name: metric.run(store, name, window, ("tier",), bucket_s=10).to_pylist() for name in ENERGY_METRICS}
    assert slotted["energy"]
    assert store.query("SELECT sum(entries) AS n FROM energy_spent")["n"][0].as_py() > 450
    store.query("DELETE FROM manifest WHERE relation = 'energy_spent'")
    for name in [row["name"] for row in store.query(SLOT_TABLES).to_pylist()]:
        store.query(f"DELETE FROM {name}")
    for name, found in slotted.items():
        finest = metric.run(store, name, window, ("tier",), bucket_s=10).to_pylist()
        assert [_key(row) for row in found] == [_key(row) for row in finest]
        values = [row["value"] or 0.0 for row in finest]
        assert [row["value"] or 0.0 for row in found] == pytest.approx(values, rel=1e-9), name


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["bucket"], row["tier"], row.get("part"), row["n"], row["value"] is None


def test_rows_arriving_in_pieces_and_late_end_in_the_rows_of_one_pass(
    store: Store, simulated: Simulated, tmp_path: Path
) -> None:
    """Also those of a request whose span came a minute late, and of a pass that ran before any of its spans."""
    spans, points = spans_of(simulated), points_of(simulated)
    late, rest = spans.slice(100, 7), pa.concat_tables([spans.slice(0, 100), spans.slice(107)])

    async def feed() -> None:
        settler = Settler(store, SETTINGS)
        begin, end = simulated.window_ns
        for moment in range(begin, end + SECOND, 17 * SECOND):
            slices = {"spans": rest, "metric_points": points}
            store.append_raw({name: between(rows, moment, moment + 17 * SECOND) for name, rows in slices.items()})
            await settler._settle(5 * SECOND)
        store.append_raw({"spans": late})
        await settler.settle_now()

    run(feed)
    expected = settled_at_once(tmp_path, ("spans", spans), ("metric_points", points))
    found = joules(store)
    assert {key[0] for key in found} == {key[0] for key in expected}
    assert sum(found.values()) == pytest.approx(sum(expected.values()), rel=1e-3)
    assert store.query("SELECT count(*) FROM requests").column(0)[0].as_py() == 450


def test_settling_again_after_a_restart_gives_the_same_rows(store: Store, simulated: Simulated) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    run(lambda: Settler(store, SETTINGS).settle_now())
    before, requests = joules(store), store.query("SELECT * FROM requests ORDER BY request_id")
    run(lambda: Settler(store, SETTINGS).settle_now())
    after = joules(store)
    assert after.keys() == before.keys()
    assert list(after.values()) == pytest.approx([before[key] for key in after], rel=1e-9)
    assert store.query("SELECT * FROM requests ORDER BY request_id").num_rows == requests.num_rows


def test_a_row_committed_after_newer_ones_is_noticed(store: Store, simulated: Simulated) -> None:
    spans = spans_of(simulated)

    async def overtaken() -> None:
        settler = Settler(store, SETTINGS)
        store.append_raw({"spans": spans.slice(1)})
        await settler.settle_now()
        store.append_raw({"spans": spans.slice(0, 1)})
        await settler.settle_now()

    recent = between(spans, pc.max(spans["received_ns"]).as_py() - 60 * SECOND, 2**62)
    spans = recent
    run(overtaken)
    assert store.query("SELECT count(*) FROM requests").column(0)[0].as_py() == recent.num_rows


def test_a_root_that_arrives_late_moves_its_request(store: Store) -> None:
    """The orphan's request goes away with its bucket; the root began in the minute before."""
    minute = 1_800_000_000 * SECOND // (60 * SECOND) * 60 * SECOND
    fixed = {"received_ns": minute, "trace_id": "t", "name": "chat", "kind": "SERVER", "status": "OK"}
    engine = {"span_id": "e", "parent_span_id": "g", "role": "engine", "engine": "e", "output_tokens": 3}
    gateway = {"span_id": "g", "role": "gateway", "finish_reason": "stop", "tenant": "acme"}
    engine |= fixed | {"start_ns": minute + SECOND, "end_ns": minute + 2 * SECOND}
    gateway |= fixed | {"start_ns": minute - SECOND, "end_ns": minute + 3 * SECOND, "received_ns": minute + SECOND}

    async def arrive() -> None:
        settler = Settler(store, SETTINGS)
        for span in (engine, gateway):
            store.append_raw({"spans": pa.Table.from_pylist([span], schema=schemas.arrow("spans"))})
            await settler.settle_now()

    run(arrive)
    rows = store.query("SELECT request_id, tenant, output_tokens FROM requests").to_pylist()
    assert rows == [{"request_id": "t:g", "tenant": "acme", "output_tokens": 3}]
    assert store.query("SELECT request_id FROM attempts").to_pylist() == [{"request_id": "t:g"}]


def test_the_loop_settles_by_itself_and_stops_when_told(store: Store, simulated: Simulated) -> None:
    async def live() -> None:
        settler = Settler(store, SETTINGS)
        running = asyncio.create_task(settler.run())
        store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
        for _ in range(500):
            await asyncio.sleep(0.02)
            if store.query("SELECT count(*) FROM requests").column(0)[0].as_py() == 450:
                break
        settler.stop()
        await asyncio.wait_for(running, 30)

    run(live)
    assert store.query("SELECT count(*) FROM requests").column(0)[0].as_py() == 450


def test_an_empty_store_settles_to_nothing(store: Store) -> None:
    assert run(lambda: Settler(store, SETTINGS).settle_now()) == 0
    assert store.query("SELECT * FROM requests").num_rows == 0


def test_a_pass_that_takes_long_is_followed_by_a_longer_pause() -> None:
    assert [pause_s(2.0, took_s) for took_s in (0.0, 0.5, 1.5, 60.0)] == [2.0, 2.0, 6.0, 30.0]
    assert pause_s(60.0, 60.0) == 60.0


def test_who_sends_is_served_before_what_waits_to_be_settled() -> None:
    assert [pause_in_a_lag_s(5.0, cores) for cores in (0.0, 0.5, 1.4)] == [5.0, 5.0, 20.0]


def test_what_an_older_release_settled_by_the_minute_is_settled_again_without_doubles(
    store: Store, simulated: Simulated
) -> None:
    """Buckets were whole minutes once; a restart after the upgrade settles their last two minutes again."""
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    run(lambda: Settler(store, SETTINGS).settle_now())
    before = joules(store)
    old: dict[str, pa.Table] = {}
    for name in ("requests", "attempts", "attempt_energy", "energy_intervals", "energy_spent"):
        rows = store.query(f"SELECT * EXCLUDE (bucket_ns) FROM {name}_bucketed")
        begun = rows["started_at"]
        if name == "attempts":
            of_request = store.query("SELECT request_id, started_at AS begun FROM requests")
            joined = rows.join(of_request, "request_id")
            rows, begun = joined.drop_columns(["begun"]), joined["begun"]
        minute = pc.cast(pc.floor_temporal(pc.cast(begun, pa.timestamp("ns")), unit="minute"), pa.int64())
        old[name] = rows.append_column("bucket_ns", minute)
    narrow = store.query("SELECT DISTINCT relation, bucket_ns FROM manifest").to_pylist()
    listed: dict[str, set[int]] = {name: set(table["bucket_ns"].to_pylist()) for name, table in old.items()}
    for row in narrow:
        if row["relation"] in listed:
            listed[row["relation"]].add(row["bucket_ns"])
    store.replace_buckets(old, {name: sorted(buckets) for name, buckets in listed.items()})
    assert joules(store) == before
    run(lambda: Settler(store, SETTINGS).settle_now())
    assert joules(store) == pytest.approx(before, rel=1e-12)
    counts = store.query("SELECT count(*) AS n, count(DISTINCT request_id) AS requests FROM requests").to_pylist()[0]
    assert counts == {"n": 450, "requests": 450}
    again = store.query("SELECT sum(total_j) AS j FROM energy_intervals")["j"][0].as_py()
    assert again == pytest.approx(pc.sum(old["energy_intervals"]["total_j"]).as_py(), rel=1e-12)
