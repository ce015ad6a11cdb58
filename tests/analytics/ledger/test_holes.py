"""A meter that was silent for seconds: its counter counted on, and requests of that time have joules all the same."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.series import series
from analytics.ledger.simulation import DAY_NS, Load, Meters, Simulated, simulate
from bench.truths.catalogue import BOARD, H100_8B, SMALL
from bench.truths.loads import chat, load_for
from bench.truths.scores import per_request, scored
from conventions import instruments

SECOND = 1_000_000_000
ENERGY = instruments.HW_ENERGY.name
Window = tuple[float, float]


def at_s(points: pa.Table) -> Any:
    return (points["time_ns"].to_numpy() - DAY_NS) / SECOND


def without(points: pa.Table, metrics: tuple[str, ...], silent: Window) -> pa.Table:
    """``points`` but those of ``metrics`` from ``silent``, seconds from the begin."""
    inside = (at_s(points) > silent[0]) & (at_s(points) < silent[1])
    named = pc.is_in(points["metric"], value_set=pa.array(metrics)).to_numpy()
    return points.filter(pa.array(~(inside & named)))


def like(points: pa.Table, metric: str, values: Any, **said: str | None) -> pa.Table:
    """Rows of ``metric`` at the times of ``points``."""
    columns = {name: points[name] for name in points.column_names} | {"value": pa.array(values, pa.float64())}
    for name, value in ({"metric": metric, "device": None, "engine": None} | said).items():
        columns[name] = pa.array([value] * points.num_rows, pa.string())
    return pa.table(columns, schema=points.schema)


def attributed(simulated: Simulated, points: pa.Table) -> LedgerResult:
    return attribute(LedgerInputs(points, simulated.attempts, simulated.window_ns))


def column_sum(rows: pa.Table, name: str) -> float:
    return float(pc.sum(rows[name], min_count=0).as_py())


def fifty_requests() -> Simulated:
    """Fifty short requests in ten seconds, energy every two, counters every second: the machine of the replay."""
    random = np.random.default_rng(3)
    load = Load(
        np.sort(random.uniform(6.2, 15.0, 50)), random.integers(8, 60, 50), np.zeros(50, np.int64),
        random.integers(16, 64, 50),
    )  # fmt: skip
    return simulate(load, SMALL, Meters(sample_s=2.0, sample_offset_s=0.03, export_offset_s=0.7), idle_s=30.0)


@pytest.mark.parametrize("stalled", [(ENERGY,), (ENERGY, *(counter.name for counter in instruments.ENGINE_COUNTERS))])
def test_a_machine_that_stood_still_for_five_seconds_leaves_no_request_without_joules(stalled: tuple[str, ...]) -> None:
    """Replay of a run in which sampler rounds were 5.97 s apart, the engine's exports 4.8 s, and 41 of 50 had NULL."""
    simulated = fifty_requests()
    silent = (38.1, 43.9)
    points = without(simulated.points, stalled, silent)
    meter = points.filter(pc.equal(points["metric"], ENERGY))
    assert np.diff(at_s(meter)).max() == pytest.approx(6.0)
    result, whole = attributed(simulated, points), attributed(simulated, simulated.points)
    joules, _ = per_request(result.attempt_energy, 50)
    assert (joules > 0).all()
    assert "gap" not in result.intervals["unattributed_reason"].to_pylist()
    assert column_sum(result.intervals, "total_j") == pytest.approx(column_sum(whole.intervals, "total_j"), rel=1e-9)
    assert scored(joules, simulated.true_j).median < 0.25
    assert joules.sum() == pytest.approx(simulated.true_j.sum(), rel=0.1)


def test_what_a_hole_costs_in_accuracy_is_stated() -> None:
    """Eight holes of 7 s in five minutes: larger errors than without, and the stated ones still hold the truth."""
    simulated = simulate(load_for(8, 300.0, chat(8_000, 1), H100_8B), H100_8B, replace(BOARD, sample_s=1.0), seed=1)
    points = simulated.points
    for begin in range(20, 300, 35):
        points = without(points, (ENERGY,), (begin + 0.5, begin + 7.5))
    found, stated = {}, {}
    for name, seen in {"whole": simulated.points, "holed": points}.items():
        joules, errors = per_request(attributed(simulated, seen).attempt_energy, len(simulated.true_j))
        found[name], stated[name] = scored(joules, simulated.true_j, errors), errors
    assert found["holed"].coverage >= 0.9
    assert found["holed"].median < 0.04
    begun = pc.cast(simulated.attempts["prefill_started_at"], pa.int64()).to_numpy() / 1e6 - DAY_NS / SECOND
    inside = np.abs((begun - 20) % 35 - 3.5) < 2.5
    assert np.median(stated["holed"][inside] / stated["whole"][inside]) > 1.2


@dataclass(frozen=True, slots=True)
class Host:
    """Engines on one CPU: how many cores each keeps busy in each second, and which joules that costs."""

    cores: dict[str, np.ndarray[Any, Any]]
    idle_w: float = 20.0
    core_w: float = 15.0

    def points(self) -> pa.Table:
        """Energy, the host's busy time (half a core of others) and each engine's, once a second."""
        seconds = len(next(iter(self.cores.values())))
        times = np.arange(seconds + 1, dtype=np.float64)
        busy = np.concatenate([[0.0], np.cumsum(sum(self.cores.values()) + 0.5)])
        base = pa.table({
            "metric": pa.nulls(seconds + 1, pa.string()), "time_ns": DAY_NS + (times * SECOND).astype(np.int64),
            "start_ns": np.full(seconds + 1, DAY_NS), "value": times, "engine": pa.nulls(seconds + 1, pa.string()),
            "device": pa.nulls(seconds + 1, pa.string()), "device_type": pa.array(["cpu"] * (seconds + 1)),
            "source": pa.array(["rapl"] * (seconds + 1)), "scope": pa.array(["cpu_package"] * (seconds + 1)),
            "quality": pa.array(["measured"] * (seconds + 1)), "host": pa.array(["h"] * (seconds + 1)),
        })  # fmt: skip
        rows = [like(base, ENERGY, self.idle_w * times + self.core_w * busy, device="cpu:0")]
        rows += [like(base, instruments.HW_IDLE_POWER.name, np.full(seconds + 1, self.idle_w), device="cpu:0")]
        rows += [like(base, instruments.HOST_CPU_TIME.name, busy)]
        for engine, cores in self.cores.items():
            used = np.concatenate([[0.0], np.cumsum(cores)])
            rows.append(like(base, instruments.PROCESS_CPU_TIME.name, used, engine=engine))
        return pa.concat_tables(rows)

    def attempts(self) -> pa.Table:
        """One attempt per engine and second in which it works."""
        rows: list[dict[str, Any]] = []
        for engine, cores in self.cores.items():
            for second in np.flatnonzero(cores):
                begin, first, end = ((DAY_NS // 1000) + round((second + part) * 1e6) for part in (0.1, 0.3, 0.9))
                moments = {"started_at": begin, "prefill_started_at": begin, "first_token_at": first, "ended_at": end}
                rows.append(
                    {"request_id": f"{engine}-{second}", "attempt": 1, "engine": engine, "model": "m"} | moments
                )
        size = len(rows)
        columns = {name: pa.array([row[name] for row in rows]) for name in ("request_id", "engine", "model")}
        columns |= {"attempt": pa.array([1] * size, pa.int32()), "outcome": pa.array(["answered"] * size)}
        columns |= {
            name: pa.array([row[name] for row in rows], pa.int64()).cast(pa.timestamp("us"))
            for name in ("started_at", "prefill_started_at", "first_token_at", "ended_at")
        }
        counts = {"input_tokens": 10, "cached_input_tokens": 0, "output_tokens": 20, "draft_proposed": 0}
        columns |= {name: pa.array([value] * size, pa.int64()) for name, value in counts.items()}
        columns |= {"draft_accepted": pa.array([0] * size, pa.int64()), "exit_skipped": pa.nulls(size, pa.float64())}
        return pa.table(columns)

    def attributed(self, points: pa.Table) -> LedgerResult:
        seconds = len(next(iter(self.cores.values())))
        return attribute(LedgerInputs(points, self.attempts(), (DAY_NS, DAY_NS + seconds * SECOND)))


def two_engines() -> Host:
    random = np.random.default_rng(5)
    return Host({"one": random.uniform(0.5, 2.0, 60), "two": random.uniform(0.2, 1.0, 60)})


def of_engine(points: pa.Table, engine: str) -> pa.Table:
    cpu = pc.equal(points["metric"], instruments.PROCESS_CPU_TIME.name)
    return pc.and_(cpu, pc.fill_null(pc.equal(points["engine"], engine), False))


def found_late(points: pa.Table, engine: str, second: int) -> pa.Table:
    """``points`` in which nobody knew of the CPU time of ``engine`` before ``second``, nor since when it counts."""
    late = points.filter(pc.invert(pc.and_(pa.array(at_s(points) < second), of_engine(points, engine))))
    starts = pc.if_else(of_engine(late, engine), DAY_NS + second * SECOND, late["start_ns"])
    return late.set_column(late.column_names.index("start_ns"), "start_ns", starts)


def joules_by_engine(result: LedgerResult) -> dict[str | None, float]:
    rows = result.intervals.group_by("engine").aggregate([("total_j", "sum")]).to_pylist()
    return {row["engine"]: row["total_j_sum"] for row in rows}


def test_an_engines_cpu_time_over_a_hole_is_read_off_the_longer_stretch() -> None:
    """Nobody read one engine's process for 9 s: it pays what its counter says of them, and the other what it did."""
    host = two_engines()
    points = host.points()
    silent = pa.array((at_s(points) > 20.5) & (at_s(points) < 29.5))
    holed = points.filter(pc.invert(pc.and_(silent, of_engine(points, "one"))))
    found, expected = (joules_by_engine(host.attributed(rows)) for rows in (holed, points))
    assert found["one"] == pytest.approx(expected["one"], rel=0.01)
    assert found["one"] == pytest.approx(15.0 * host.cores["one"].sum(), rel=0.02)
    assert found["two"] == pytest.approx(expected["two"], rel=0.01)
    rows = host.attributed(holed).intervals
    estimated = rows.filter(pc.equal(rows["quality"], "estimated"))
    assert set(at_s(pa.table({"time_ns": pc.multiply(pc.cast(estimated["started_at"], pa.int64()), 1000)}))) == set(
        np.arange(20.0, 30.0, 2.0)
    )


def test_a_collector_that_was_stopped_takes_nothing_from_any_engine() -> None:
    """All that it samples is silent together: energy, the host's time and each engine's."""
    host = two_engines()
    metrics = (ENERGY, instruments.HOST_CPU_TIME.name, instruments.PROCESS_CPU_TIME.name)
    holed = host.attributed(without(host.points(), metrics, (20.5, 26.5)))
    for engine, cores in host.cores.items():
        assert joules_by_engine(holed)[engine] == pytest.approx(15.0 * cores.sum(), rel=1e-6)
    assert holed.attempt_energy["request_id"].combine_chunks().unique().to_pylist() == sorted(
        host.attempts()["request_id"].to_pylist(), key=holed.attempt_energy["request_id"].to_pylist().index
    )


def test_the_energy_of_an_engine_whose_cpu_time_nobody_knows_is_called_nobodys_and_not_overhead() -> None:
    """Its process is found after 10 s: until then what the other engine and jobs leave may be its or not."""
    host = two_engines()
    points = host.points()
    result = host.attributed(found_late(points, "one", 10))
    rows = result.intervals.filter(pc.equal(result.intervals["unattributed_reason"], "unshared"))
    assert rows.num_rows == 5
    assert column_sum(rows, "unattributed_j") == pytest.approx(15.0 * (host.cores["one"][:10] + 0.5).sum(), rel=0.01)
    paid = set(result.attempt_energy["request_id"].to_pylist())
    assert not paid & {f"one-{second}" for second in range(10)}
    assert {f"two-{second}" for second in range(60)} <= paid
    assert column_sum(result.intervals, "total_j") == pytest.approx(20.0 * 60 + 15.0 * sum(
        (cores + 0.25).sum() for cores in host.cores.values()
    ), rel=1e-9)  # fmt: skip


@pytest.mark.parametrize("beside_s", [-0.002, 0.002])
def test_an_edge_beside_a_sample_is_not_in_the_hole(beside_s: float) -> None:
    times = np.array([0.0, 2.0, 4.0, 10.0 + beside_s, 12.0, 14.0, 16.0, 18.0, 20.0])
    stamps = pa.array(np.round(times * 1e9).astype(np.int64))
    table = pa.table({"time_ns": stamps, "start_ns": pa.nulls(9, pa.int64()), "value": pa.array(100.0 * times)})
    edges = np.arange(0.0, 21.0, 2.0)
    for counts_on in (True, False):
        meter = series(table, 0, counts_on=counts_on)
        assert list(np.flatnonzero(meter.estimated(edges))) == [2, 3, 4]  # 4 to 10 s
        assert list(np.flatnonzero(~meter.between(edges)[1])) == ([] if counts_on else [2, 3, 4])
