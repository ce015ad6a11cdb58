"""Reports of training jobs over a real store: progress by slot, the view ``jobs``, joules from the same ledger."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from collector.settings import SettleSettings
from collector.settling.settle import Settler
from conventions import attributes, instruments
from store import schemas
from store.writing import Store

SECOND = 1_000_000_000
START = 1_790_000_040 * SECOND  # a whole minute
SETTINGS = SettleSettings(interval_s=0.02, watermark_s=5.0)
CORES = 2.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


def point(metric: str, at_s: float, value: float, begun_s: float = 0.0, **said: Any) -> dict[str, Any]:
    at = START + round(at_s * SECOND)
    fixed = {"received_ns": at, "metric": metric, "kind": "sum", "temporality": "cumulative", "time_ns": at}
    return {**fixed, "start_ns": START + round(begun_s * SECOND), "value": value, **said}


def machine(seconds: int) -> list[dict[str, Any]]:
    """A CPU that idles at 10 W and takes 5 W for each core in use, all of which are in use."""
    device = {"device": "cpu:0", "device_type": "cpu", "quality": "measured", "source": "rapl"}
    rows = []
    for at in range(seconds + 1):
        rows.append(point(instruments.HW_ENERGY.name, at, at * (10.0 + 5.0 * CORES), **device))
        rows.append(point(instruments.HW_IDLE_POWER.name, at, 10.0, kind="gauge", **device))
        rows.append(point(instruments.HOST_CPU_TIME.name, at, at * CORES))
    return rows


def leg(name: str, begin_s: float, end_s: float, cores: float, job: str = "job", **last: str) -> list[dict[str, Any]]:
    """One report a second: a step, 4 samples and 100 tokens each, a loss that falls."""
    resource = {
        attributes.JOB_NAME: "train", attributes.PROCESS_PID: "7", attributes.JOB_THREADS: "4",
        attributes.JOB_PRECISION: "bf16", attributes.JOB_CHECKPOINTING: "true",
    }  # fmt: skip
    said = {"job": job, "instance": name, "resource": resource, "begun_s": begin_s}
    rows = []
    for done in range(round(end_s - begin_s) + 1):
        at = begin_s + done
        values = {
            instruments.JOB_STEPS: done, instruments.JOB_SAMPLES: 4 * done, instruments.JOB_TOKENS: 100 * done,
            instruments.JOB_DURATION: done, instruments.PROCESS_CPU_TIME: cores * done,
        }  # fmt: skip
        rows += [point(one.name, at, value, **said) for one, value in values.items()]
        rows.append(point(instruments.JOB_LOSS.name, at, 5.0 - 0.1 * done, kind="gauge", **said))
    if last:
        rows.append(point(instruments.JOB_ENDED.name, end_s, 1.0, kind="gauge", attributes=last, **said))
    return rows


def appended(store: Store, rows: list[dict[str, Any]]) -> None:
    store.append_raw({"metric_points": pa.Table.from_pylist(rows, schema=schemas.arrow("metric_points"))})


def settled(store: Store) -> Settler:
    settler = Settler(store, SETTINGS)
    asyncio.run(settler.settle_now())
    return settler


def test_a_job_has_its_counts_its_end_and_the_joules_of_its_cpu_time(store: Store) -> None:
    """Half of the busy cores are its own for 40 s, so half of the 10 W above idle: 200 J, to the joule."""
    appended(store, machine(60) + leg("a", 10, 50, 1.0, **{attributes.JOB_STATUS: "ok"}))
    settled(store)
    (row,) = store.query("SELECT * FROM jobs").to_pylist()
    assert row["energy_j"] == pytest.approx(200.0, rel=1e-9)
    told = {key: row[key] for key in ("job_id", "name", "status", "legs", "steps", "samples", "tokens", "precision")}
    assert told == {
        "job_id": "job", "name": "train", "status": "ok", "legs": 1, "steps": 40, "samples": 160, "tokens": 4000,
        "precision": "bf16",
    }  # fmt: skip
    assert (row["elapsed_s"], row["loss"], row["energy_quality"]) == (40.0, pytest.approx(1.0), "measured")
    assert row["gradient_checkpointing"] is True
    course = store.query("SELECT steps, loss FROM job_progress ORDER BY started_at").to_pylist()
    assert [slot["steps"] for slot in course] == [9, 19, 29, 39, 40]
    balance = store.query(
        "SELECT sum(total_j) t, sum(attributed_j) a, sum(idle_j) i, sum(unattributed_j) u FROM energy_intervals"
    ).to_pylist()[0]
    assert balance["a"] + balance["i"] + balance["u"] == pytest.approx(balance["t"]) == pytest.approx(1200.0)
    assert balance["a"] == pytest.approx(200.0)


def test_a_failed_job_keeps_its_joules_and_a_killed_one_is_still_running(store: Store) -> None:
    failed = {attributes.JOB_STATUS: "failed", attributes.ERROR_TYPE: "ZeroDivisionError"}
    appended(store, machine(60) + leg("a", 10, 30, 1.0, "one", **failed) + leg("b", 10, 30, 1.0, "two"))
    settled(store)
    rows = store.query("SELECT job_id, status, error_type, energy_j FROM jobs ORDER BY job_id").to_pylist()
    assert [(row["job_id"], row["status"], row["error_type"]) for row in rows] == [
        ("one", "failed", "ZeroDivisionError"),
        ("two", "running", None),
    ]
    assert [row["energy_j"] for row in rows] == pytest.approx([100.0, 100.0])


def test_a_resumed_job_goes_on_under_its_id(store: Store) -> None:
    first = leg("first", 5, 20, 1.0, **{attributes.JOB_STATUS: "interrupted"})
    appended(store, machine(60) + first + leg("second", 30, 45, 1.0, **{attributes.JOB_STATUS: "ok"}))
    settled(store)
    (row,) = store.query("SELECT legs, status, steps, energy_j, duration_s, elapsed_s FROM jobs").to_pylist()
    assert row == {"legs": 2, "status": "ok", "steps": 30, "energy_j": 150.0, "duration_s": 30.0, "elapsed_s": 40.0}


def test_progress_that_arrives_in_pieces_is_the_same(store: Store, tmp_path: Path) -> None:
    """Settled whenever something came, in the end the rows of one pass over everything."""
    rows = machine(90) + leg("a", 10, 80, 1.0, **{attributes.JOB_STATUS: "ok"})
    rows.sort(key=lambda row: row["time_ns"])
    settler = Settler(store, SETTINGS)
    for begin in range(0, len(rows), 97):
        appended(store, rows[begin : begin + 97])
        asyncio.run(settler.settle_now())
    with Store.open(tmp_path / "reference", memory_limit="512MB") as reference:
        appended(reference, rows)
        settled(reference)
        for sql in ("SELECT * FROM jobs", "SELECT * FROM job_progress ORDER BY started_at"):
            assert store.query(sql).to_pylist() == reference.query(sql).to_pylist()


def test_joules_of_jobs_are_a_part_of_their_own(store: Store) -> None:
    """What metrics read sums to the meter, with the job's part in it."""
    appended(store, machine(60) + leg("a", 10, 50, 1.0))
    settled(store)
    parts = store.query("SELECT part, sum(joules) j FROM energy_spent GROUP BY part").to_pylist()
    found = {row["part"]: row["j"] for row in parts}
    assert found["job"] == pytest.approx(200.0)
    assert sum(found.values()) == pytest.approx(1200.0)


def gpu(name: str, seconds: int, watts: float) -> list[dict[str, Any]]:
    device = {"device": name, "device_type": "gpu", "quality": "measured", "source": "nvml.counter"}
    rows = []
    for at in range(seconds + 1):
        loaded_s = min(max(at - 10, 0), 40)  # it works from 10 s to 50 s
        rows.append(point(instruments.HW_ENERGY.name, at, 50.0 * at + (watts - 50.0) * loaded_s, **device))
        busy = 0.8 if 10 <= at < 50 else 0.0
        rows.append(point(instruments.GPU_UTILIZATION.name, at, busy, kind="gauge", **device))
    return rows


def on(devices: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"resource": {**row["resource"], attributes.JOB_DEVICES: devices}} for row in rows]


def test_jobs_on_gpus_pay_for_those_that_they_name(store: Store) -> None:
    """One alone on two GPUs pays all their active energy, two that share one pay half each."""
    alone = on('["G1", "G2"]', leg("a", 10, 50, 1.0, "alone"))
    sharing = [on('["G3"]', leg(name, 10, 50, 1.0, name)) for name in ("one", "two")]
    rows = gpu("G1", 60, 250.0) + gpu("G2", 60, 150.0) + gpu("G3", 60, 350.0)
    appended(store, rows + alone + sharing[0] + sharing[1])
    settled(store)
    jobs = {row["job_id"]: row for row in store.query("SELECT * FROM jobs").to_pylist()}
    assert jobs["alone"]["energy_j"] == pytest.approx(40 * (200.0 + 100.0), rel=1e-9)
    assert jobs["one"]["energy_j"] == jobs["two"]["energy_j"] == pytest.approx(40 * 300.0 / 2, rel=1e-9)
    assert (jobs["alone"]["device_type"], jobs["alone"]["devices"]) == ("gpu", ["G1", "G2"])
    methods = store.query("SELECT DISTINCT method FROM energy_intervals WHERE job IS NOT NULL").to_pylist()
    assert methods == [{"method": "equal_shares"}]
    busy = store.query("SELECT gpu_utilization u FROM job_progress WHERE job_id = 'alone' ORDER BY started_at")
    assert busy.to_pylist()[0]["u"] == pytest.approx(0.8)


def test_devices_that_do_not_read_as_a_list_stop_nothing(store: Store) -> None:
    """A stranger's attribute: the job is taken for one on the CPU, and everybody else is settled."""
    appended(store, machine(60) + on("not a list", leg("a", 10, 50, 1.0)))
    settled(store)
    (row,) = store.query("SELECT device_type, energy_j FROM jobs").to_pylist()
    assert row == {"device_type": "cpu", "energy_j": pytest.approx(200.0)}
