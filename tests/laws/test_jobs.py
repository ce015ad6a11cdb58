"""Laws of jobs in the ledger: they claim beside engines, take nothing twice, and the balance stays the meter's."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.ledger.inputs import LedgerResult
from analytics.ledger.jobs import JOB_COLUMNS
from conventions import instruments
from tests.laws.worlds import SECOND, World, rows_of, worlds

lawful = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
Row = dict[str, Any]


def device_of(world: World) -> tuple[str, str]:
    meter = rows_of(world.inputs.points, instruments.HW_ENERGY.name).slice(0, 1).to_pylist()[0]
    return meter["device"], meter["device_type"]


def reports(world: World, name: str, begin_s: float, end_s: float, cores: float, **said: Any) -> list[Row]:
    """CPU seconds of a leg that uses ``cores`` from ``begin_s`` to ``end_s``, once a second and at its end."""
    device, kind = device_of(world)
    origin = world.inputs.window_ns[0]
    moments = [*np.arange(begin_s, end_s, 1.0), end_s]
    told = {
        "job": name,
        "leg": name,
        "within": None,
        "host": None,
        "devices": f'["{device}"]' if kind == "gpu" else None,
    }
    return [
        told | said | {
            "time_ns": origin + round(at * SECOND), "start_ns": origin + round(begin_s * SECOND),
            "value": cores * (at - begin_s),
        }
        for at in moments
    ]  # fmt: skip


def with_jobs(world: World, *legs: list[Row]) -> World:
    kinds = {"time_ns": pa.int64(), "start_ns": pa.int64(), "value": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in JOB_COLUMNS])
    return world.but(jobs=pa.Table.from_pylist([row for leg in legs for row in leg], schema=schema))


def joules(result: LedgerResult, job: str) -> float:
    rows = result.intervals.filter(pc.equal(result.intervals["job"], job))
    return float(pc.sum(rows["attributed_j"], min_count=0).as_py())


def totals(result: LedgerResult) -> dict[str, float]:
    names = ("total_j", "attributed_j", "idle_j", "unattributed_j")
    return {name: pc.sum(result.intervals[name], min_count=0).as_py() for name in names}


def active(result: LedgerResult) -> float:
    summed = totals(result)
    return summed["attributed_j"] + summed["unattributed_j"]


stretches = st.tuples(st.floats(0, 8), st.floats(0.5, 6), st.floats(0.01, 2))


@lawful
@given(worlds(), st.lists(stretches, min_size=1, max_size=3))
def test_jobs_are_attributed_and_the_balance_still_closes(
    world: World, drawn: list[tuple[float, float, float]]
) -> None:
    """With jobs the counter's difference is the same, and every joule that a job has is attributed."""
    legs = [reports(world, f"job{n}", at, at + long, cores) for n, (at, long, cores) in enumerate(drawn)]
    result, without = with_jobs(world, *legs).attributed(), world.attributed()
    summed = totals(result)
    assert summed["total_j"] == pytest.approx(totals(without)["total_j"], rel=1e-12)
    assert summed["attributed_j"] + summed["idle_j"] + summed["unattributed_j"] == pytest.approx(summed["total_j"])
    paid = pc.sum(result.attempt_energy["joules"], min_count=0).as_py()
    jobs = sum(joules(result, f"job{n}") for n in range(len(drawn)))
    assert paid + jobs == pytest.approx(summed["attributed_j"], rel=1e-9)
    for name in ("attributed_j", "unattributed_j", "idle_j"):
        assert pc.min(result.intervals[name]).as_py() >= 0


@lawful
@given(worlds(), st.floats(0.1, 1.9))
def test_a_resumed_job_has_the_joules_of_both_legs(world: World, cores: float) -> None:
    first = reports(world, "job", 0.0, 4.0, cores, leg="first")
    second = reports(world, "job", 6.0, 9.0, cores, leg="second")
    result = with_jobs(world, first, second).attributed()
    renamed = [row | {"job": "other"} for row in second]
    apart = with_jobs(world, first, renamed).attributed()
    assert joules(result, "job") == pytest.approx(joules(apart, "job") + joules(apart, "other"), rel=1e-9)


@lawful
@given(worlds(), st.floats(0.2, 1.5))
def test_a_job_within_another_process_is_counted_once(world: World, cores: float) -> None:
    """The parent's CPU time contains the child's: together they pay what the parent alone would have paid."""
    parent = reports(world, "parent", 0.0, 9.0, 2 * cores)
    child = reports(world, "child", 0.0, 9.0, cores, within="parent")
    alone, both = with_jobs(world, parent).attributed(), with_jobs(world, parent, child).attributed()
    if device_of(world)[1] == "cpu":
        assert joules(both, "parent") + joules(both, "child") == pytest.approx(joules(alone, "parent"), rel=1e-9)
        assert joules(both, "parent") == pytest.approx(joules(both, "child"), rel=1e-9)


@lawful
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_reports_does_not_matter(world: World, random: Any) -> None:
    told = with_jobs(world, reports(world, "a", 1.3, 7.7, 0.5), reports(world, "b", 0.2, 9.1, 0.7))
    order = list(range(told.inputs.jobs.num_rows))
    random.shuffle(order)
    shuffled = told.but(jobs=told.inputs.jobs.take(order)).attributed()
    for name in ("a", "b"):
        assert joules(shuffled, name) == pytest.approx(joules(told.attributed(), name), rel=1e-12)


@lawful
@given(worlds())
def test_a_job_that_names_another_gpu_pays_nothing_here(world: World) -> None:
    if device_of(world)[1] == "gpu":
        elsewhere = reports(world, "job", 0.0, 9.0, 1.0, devices='["GPU-elsewhere"]')
        assert joules(with_jobs(world, elsewhere).attributed(), "job") == 0.0


@lawful
@given(worlds(), st.integers(1, 4))
def test_splitting_the_window_changes_nothing_for_a_job(world: World, intervals: int) -> None:
    told = with_jobs(world, reports(world, "job", 0.7, 9.3, 0.8))
    begin, end = told.inputs.window_ns
    middle = begin + intervals * 2 * SECOND
    parts = [told.but(window_ns=window).attributed() for window in ((begin, middle), (middle, end))]
    assert sum(joules(part, "job") for part in parts) == pytest.approx(joules(told.attributed(), "job"), rel=1e-9)


def test_a_job_alone_on_a_gpu_pays_all_of_its_active_energy(lone_gpu: World) -> None:
    """An identity: nobody else is there, so nothing is overhead while it runs."""
    begin, end = lone_gpu.inputs.window_ns
    told = with_jobs(lone_gpu, reports(lone_gpu, "job", 0.0, (end - begin) / SECOND, 0.1))
    result = told.attributed()
    assert joules(result, "job") == pytest.approx(active(result), rel=1e-12)
    assert joules(result, "job") > 0


@pytest.fixture
def lone_gpu() -> World:
    """A GPU that draws 20 W for 4 s, then 100 W for 8 s; no engine."""
    from analytics.ledger.inputs import ATTEMPT_COLUMNS, POINT_COLUMNS, LedgerInputs

    origin = 1_763_000_000 * SECOND
    watts = [20.0] * 4 + [100.0] * 8
    told = {"metric": instruments.HW_ENERGY.name, "start_ns": origin, "device": "GPU-1", "device_type": "gpu"}
    rows = [
        told | {"time_ns": origin + n * SECOND, "value": sum(watts[:n]), "quality": "measured"}
        for n in range(len(watts) + 1)
    ]
    kinds = {"time_ns": pa.int64(), "start_ns": pa.int64(), "value": pa.float64()}
    points = pa.Table.from_pylist(rows, schema=pa.schema([(n, kinds.get(n, pa.string())) for n in POINT_COLUMNS]))
    times = {n: pa.timestamp("us") for n in ATTEMPT_COLUMNS if n.endswith("_at")}
    counts = {n: pa.int64() for n in ATTEMPT_COLUMNS if n.endswith("_tokens") or n.startswith("draft")}
    kinds = {"attempt": pa.int32(), **times, **counts}
    attempts = pa.schema([(n, kinds.get(n, pa.string())) for n in ATTEMPT_COLUMNS]).empty_table()
    return World(LedgerInputs(points, attempts, (origin, origin + len(watts) * SECOND)), 1.0)
