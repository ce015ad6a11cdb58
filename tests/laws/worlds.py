"""Small worlds for the laws of energy: one device, one or two engines, a handful of requests, everything random."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import strategies as st

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs, LedgerResult
from analytics.ledger.simulation import DAY_NS, Load, Meters, Simulated, Truth, simulate
from conventions import instruments

SECOND = 1_000_000_000
SMALL = Truth(0.05, 0.001, 0.0, 0.004, 1e-6, 20.0, 0.004, 0.0003, 2e-5, 64, 8)


@dataclass(frozen=True, repr=False)
class World:
    """The ledger's inputs and how the world was sampled."""

    inputs: LedgerInputs
    sample_s: float

    def attributed(self) -> LedgerResult:
        return attribute(self.inputs)

    def but(self, **changes: Any) -> "World":
        """The same world with other inputs."""
        return replace(self, inputs=replace(self.inputs, **changes))


@st.composite
def worlds(draw: st.DrawFn, max_requests: int = 12) -> World:
    """A world of up to 14 s of load on one or two engines that share a GPU or a CPU."""
    kind = draw(st.sampled_from(["gpu", "cpu"]))
    sample_s = draw(st.sampled_from([0.1, 0.5, 1.0]))
    meters = Meters(1.0, draw(st.floats(0, 0.9)), sample_s, draw(st.floats(0, 0.09)), 0.0, kind, draw(st.booleans()))
    engines = [
        simulate(_load(draw, max_requests), SMALL, meters, engine=name, idle_s=7.0)
        for name in ("one", "two")[: draw(st.integers(1, 2))]
    ]
    end = max(simulated.window_ns[1] for simulated in engines)
    points = [_shared_meter(engines), *(_without_meter(simulated) for simulated in engines)]
    if kind == "cpu":
        points += _cpu_times(engines)
    attempts = pa.concat_tables(_renamed(simulated, number) for number, simulated in enumerate(engines))
    return World(LedgerInputs(pa.concat_tables(points), attempts, (DAY_NS, end)), sample_s)


def _load(draw: st.DrawFn, max_requests: int) -> Load:
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    size = draw(st.integers(1, max_requests))
    arrivals = np.sort(random.uniform(0, draw(st.sampled_from([0.5, 4.0, 14.0])), size))
    prompt = random.integers(1, 120, size)
    cached = np.where(random.uniform(size=size) < 0.2, random.integers(0, prompt), 0)
    return Load(arrivals, prompt, cached, random.integers(1, 60, size))


def rows_of(points: pa.Table, metric: str) -> pa.Table:
    return points.filter(pc.equal(points["metric"], metric))


def with_values(points: pa.Table, values: Any) -> pa.Table:
    return points.set_column(points.column_names.index("value"), "value", pa.array(values, pa.float64()))


def _shared_meter(engines: list[Simulated]) -> pa.Table:
    """One device that counts the energy of all engines: their meters tick together, the longest one goes on."""
    meters = [rows_of(simulated.points, instruments.HW_ENERGY.name) for simulated in engines]
    longest = max(meters, key=lambda rows: rows.num_rows)
    times = longest["time_ns"].to_numpy()
    values = [np.interp(times, rows["time_ns"].to_numpy(), rows["value"].to_numpy()) for rows in meters]
    return with_values(longest, np.sum(values, axis=0))


def _without_meter(simulated: Simulated) -> pa.Table:
    return simulated.points.filter(pc.not_equal(simulated.points["metric"], instruments.HW_ENERGY.name))


def _cpu_times(engines: list[Simulated]) -> list[pa.Table]:
    """CPU seconds in proportion to each engine's active energy, and a host that is a third busier than all of them."""
    shared = _shared_meter(engines)
    times, spent = shared["time_ns"].to_numpy(), []
    for simulated in engines:
        meter = rows_of(simulated.points, instruments.HW_ENERGY.name)
        joules = np.interp(times, meter["time_ns"].to_numpy(), meter["value"].to_numpy())
        spent.append(np.maximum.accumulate(joules - SMALL.idle_w * (times - times[0]) / SECOND) / 50)
    host = 4 / 3 * np.sum(spent, axis=0) + 0.01 * (times - times[0]) / SECOND
    tables = [_cpu_points(shared, instruments.HOST_CPU_TIME.name, host, None)]
    names = [simulated.attempts["engine"][0].as_py() for simulated in engines]
    own = zip(spent, names, strict=True)
    return tables + [_cpu_points(shared, instruments.PROCESS_CPU_TIME.name, values, name) for values, name in own]


def _cpu_points(like: pa.Table, metric: str, values: Any, engine: str | None) -> pa.Table:
    rows = with_values(like, values)
    for column, value in (("metric", metric), ("engine", engine), ("device", None)):
        filled = pa.array([value] * rows.num_rows, pa.string())
        rows = rows.set_column(rows.column_names.index(column), column, filled)
    return rows


def _renamed(simulated: Simulated, number: int) -> pa.Table:
    ids = pc.binary_join_element_wise(simulated.attempts["request_id"], pa.scalar(f"-{number}"), "")
    return simulated.attempts.set_column(0, "request_id", ids)
