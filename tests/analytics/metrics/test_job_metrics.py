"""Metrics of training and batch jobs against figures worked out by hand: two jobs, one resumed, one failed, one GPU."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from analytics import metric
from analytics.metric import Dimension, Filters, Window
from dashboard import sample
from store.writing import Store

NOON = datetime(2026, 3, 2, 12)
HOUR = Window(NOON, NOON + timedelta(hours=1))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def slots(job: str, leg: str, begin_s: int, counts: list[int], **said: Any) -> list[dict[str, Any]]:
    """A row per 10 s: samples as given (cumulative), 10 tokens and 1000 operations each, a core's worth of CPU."""
    rows = []
    for number, samples in enumerate(counts):
        seconds = 10.0 * (number + 1)
        rows.append(
            {
                "started_at": at(begin_s + 10 * number), "heard_at": at(begin_s + seconds), "job_id": job, "leg": leg,
                "leg_started_at": at(begin_s), "name": "tune", "device_type": "cpu", "devices": [], "cpu_threads": 4,
                "steps": number + 1, "samples": samples, "tokens": 10 * samples, "flops": 1000.0 * samples,
                "flops_method": "counted", "duration_s": seconds, "cpu_s": seconds, "loss": 3.0 - number,
            } | said
        )  # fmt: skip
    return rows


def joules(job: str, second: int, value: float, quality: str = "measured") -> dict[str, Any]:
    when = {"device": "cpu:0", "started_at": at(second), "ended_at": at(second + 2), "job": job}
    balance = {"total_j": value, "attributed_j": value, "idle_j": 0.0, "unattributed_j": 0.0}
    return when | balance | {"method": "cpu_time", "quality": quality}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    first, second = slots("a", "a1", 0, [10, 20]), slots("a", "a2", 100, [5, 30])
    second[-1]["status"] = "ok"
    gpu = slots(
        "b", "b1", 1800, [40], name="embed", device_type="gpu", devices=["G1", "G2"], gpu_utilization=0.75,
        flops=None, flops_method=None, status="failed", loss=None,
    )  # fmt: skip
    energy = [joules("a", 4, 30.0), joules("a", 112, 70.0), joules("b", 1802, 400.0, "estimated")]
    with Store.open(tmp_path_factory.mktemp("jobs")) as opened:
        sample.write(opened, {"job_progress": [*first, *second, *gpu], "energy_intervals": energy})
        yield opened


def answer(store: Store, name: str, **chosen: Any) -> list[dict[str, Any]]:
    by: tuple[Dimension, ...] = chosen.pop("by", ())
    rows: list[dict[str, Any]] = metric.run(store, name, chosen.pop("window", HOUR), by, **chosen).to_pylist()
    return rows


def values(store: Store, name: str, **chosen: Any) -> dict[str | None, float]:
    return {row["model"]: row["value"] for row in answer(store, name, by=("model",), **chosen)}


def test_joules_are_divided_by_what_was_worked_through_over_all_legs(store: Store) -> None:
    assert values(store, "job_energy_per_sample") == {"tune": 100.0 / 50, "embed": 400.0 / 40}
    assert values(store, "job_energy_per_token") == {"tune": 100.0 / 500, "embed": 400.0 / 400}
    (fleet,) = answer(store, "job_energy_per_sample")
    assert (fleet["value"], fleet["quality"], fleet["n"]) == (500.0 / 90, "estimated", 2)


def test_a_window_that_cuts_a_leg_counts_what_was_done_in_it(store: Store) -> None:
    """Differences between slots, not the cumulative counts: 25 samples in the second half of the second leg."""
    window = Window(at(110), at(120))
    (row,) = answer(store, "job_energy_per_sample", window=window)
    assert (row["samples"], row["joules"], row["value"]) == (25, 70.0, 70.0 / 25)


def test_time_buckets_add_up_to_the_window(store: Store) -> None:
    rows = answer(store, "job_energy_per_sample", bucket_s=60)
    assert sum(row["samples"] or 0 for row in rows) == 90
    assert sum(row["joules"] for row in rows) == 500.0


def test_operations_are_shown_only_where_they_are_known(store: Store) -> None:
    rows = answer(store, "job_flops_per_token", by=("model",))
    assert [(row["model"], row["method"], row["value"]) for row in rows] == [("tune", "counted", 100.0)]


def test_device_hours_and_utilisation_by_kind_of_device(store: Store) -> None:
    rows = {row["device_type"]: row for row in answer(store, "job_samples_per_device_hour")}
    assert rows["cpu"]["value"] == 50 / (40 / 3600)
    assert rows["gpu"]["value"] == 40 / (2 * 10 / 3600), "two GPUs for ten seconds"
    busy = {row["device_type"]: row["value"] for row in answer(store, "job_device_utilization")}
    assert busy == {"cpu": 0.25, "gpu": 0.75}


def test_time_to_result_runs_from_the_first_start_to_the_good_end(store: Store) -> None:
    assert values(store, "job_time_to_result") == {"tune": 120.0}


def test_the_loss_has_a_course(store: Store) -> None:
    course = [(row["bucket"], row["value"]) for row in answer(store, "job_loss", bucket_s=10)]
    assert course == [(at(0), 3.0), (at(10), 2.0), (at(100), 3.0), (at(110), 2.0)]
    assert values(store, "job_loss") == {"tune": 2.0}


@pytest.mark.parametrize("name", sorted(name for name in metric.names() if metric.JOBS in metric.load(name).needs))
def test_jobs_belong_to_no_tier_and_no_tenant(store: Store, name: str) -> None:
    assert answer(store, name, filters=Filters(tiers=("scout",))) == []
    assert answer(store, name, filters=Filters(tenants=("archive",))) == []
    assert answer(store, name, filters=Filters(runs=("a",))) == answer(store, name, filters=Filters(models=("tune",)))
