"""What is seen of a machine: energy samples as a board counter gives them, engine counters per export, spans."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from analytics.ledger.components import COUNTERS, GENERATED, RUNNING_STEPS
from analytics.ledger.inputs import Floats
from analytics.ledger.simulation.machine import Log, Machine
from conventions import instruments

DAY_NS: Final = 1_800_000_000_000_000_000
AFTERWARDS_S: Final = 4.0  # watched after the last step


@dataclass(frozen=True, slots=True)
class Meters:
    """How the world is seen: periods and offsets of engine export and energy sample, and what blurs the latter."""

    export_s: float = 1.0
    export_offset_s: float = 0.37
    sample_s: float = 0.1
    sample_offset_s: float = 0.0
    noise: float = 0.0  # relative, of each energy increment
    device_type: str = "gpu"
    generated_only: bool = (
        False  # stock vLLM: no running_steps, no contexts, output tokens instead of decoded positions
    )
    refresh_s: float = 0.0  # the counter moves this often; 0: continuously
    sampled: float = 1.0  # share of each refresh period, its end, in which power is looked at (arXiv 2312.02741)
    skew_s: float = 0.0  # the meter's clock is so far ahead of the engine's


def watch(
    machine: Machine, log: Log, meters: Meters, engine: str, idle_s: float, seed: int
) -> tuple[pa.Table, pa.Table, float]:
    """Points, attempts, and seconds from the load's begin to the end of watching."""
    ends = np.concatenate(log.ends)
    horizon = float(ends[-1]) + AFTERWARDS_S
    points = [_energy(machine, log, meters, idle_s, horizon, np.random.default_rng(seed))]
    points += _counters(ends, np.concatenate(log.counts), meters, engine, idle_s, horizon)
    return pa.concat_tables(points), _attempts(machine, engine, idle_s), horizon


def _energy(
    machine: Machine, log: Log, meters: Meters, idle_s: float, horizon: float, random: np.random.Generator
) -> pa.Table:
    read = np.arange(-idle_s + meters.sample_offset_s, horizon, meters.sample_s)
    refreshed = read if not meters.refresh_s else np.arange(-idle_s - meters.refresh_s, horizon, meters.refresh_s)
    increments = _increments(machine, log, meters.sampled, refreshed)
    noisy = increments * (1 + meters.noise * random.standard_normal(len(increments)))
    values = np.concatenate([[0.0], np.cumsum(np.maximum(noisy, 0.0))])
    shown = values[np.searchsorted(refreshed, read + 1e-9, "right") - 1]
    times = read + meters.skew_s + idle_s
    return _points(instruments.HW_ENERGY.name, times, shown, device="gpu0", device_type=meters.device_type)


def _increments(machine: Machine, log: Log, sampled: float, times: Floats) -> Floats:
    """Joules between ``times``, from the power in the last ``sampled`` share of each period."""
    ends, lengths, joules = (np.concatenate(column) for column in (log.ends, log.lengths, log.joules))
    moments = np.stack([ends - lengths, ends], axis=1).ravel()
    done = np.cumsum(joules)
    spent = np.stack([done - joules, done], axis=1).ravel()
    periods = np.diff(times)
    active = np.interp(times[1:], moments, spent) - np.interp(times[1:] - sampled * periods, moments, spent)
    return np.asarray(active / sampled + machine.truth.idle_w * periods * machine.truth.warmth(times[1:]))


def _counters(
    ends: Floats, counts: Floats, meters: Meters, engine: str, idle_s: float, horizon: float
) -> list[pa.Table]:
    times = np.arange(-idle_s + meters.export_offset_s, horizon, meters.export_s)
    done = np.searchsorted(ends, times, "right")
    totals = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])[done]
    names = (*COUNTERS, RUNNING_STEPS, GENERATED)
    shown = (COUNTERS[0], COUNTERS[1], GENERATED) if meters.generated_only else names
    return [_points(name, times + idle_s, totals[:, names.index(name)], engine=engine) for name in shown]


def _points(metric: str, times_s: Floats, values: Floats, **said: str) -> pa.Table:
    size = len(times_s)
    fixed = {"engine": None, "device": None, "device_type": None, "host": None}
    provenance = {"source": "replay", "scope": "gpu", "quality": "simulated"}
    columns = {key: pa.array([value] * size, pa.string()) for key, value in (fixed | provenance | said).items()}
    times = pa.array(DAY_NS + np.round(times_s * 1e9).astype(np.int64))
    starts = pa.array([DAY_NS] * size, pa.int64())
    numbers = {"time_ns": times, "start_ns": starts, "value": pa.array(values, pa.float64())}
    return pa.table({"metric": pa.array([metric] * size, pa.string())} | numbers | columns)


def _attempts(machine: Machine, engine: str, idle_s: float) -> pa.Table:
    load = machine.load
    size = len(load.arrivals_s)
    moments = {
        "started_at": load.arrivals_s,
        "prefill_started_at": machine.begun,
        "first_token_at": machine.first,
        "ended_at": machine.ended,
    }
    texts = {"engine": engine, "model": "m", "outcome": "answered"}
    numbers = {"input_tokens": load.prompt, "cached_input_tokens": load.cached, "output_tokens": load.output}
    none = pa.nulls(size, pa.int64())
    return pa.table(
        {"request_id": pa.array([f"r{number}" for number in range(size)], pa.string())}
        | {"attempt": pa.array([1] * size, pa.int32())}
        | {key: pa.array([value] * size, pa.string()) for key, value in texts.items()}
        | {key: _timestamps(values + idle_s) for key, values in moments.items()}
        | {key: pa.array(values, pa.int64()) for key, values in numbers.items()}
        | {"draft_proposed": none, "draft_accepted": none, "exit_skipped": none.cast(pa.float64())}
    )


def _timestamps(seconds: Floats) -> pa.Array:
    return pa.array(DAY_NS // 1000 + np.round(seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us"))
