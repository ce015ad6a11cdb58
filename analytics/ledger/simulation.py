"""A continuous-batching engine with a known energy for every request: the ledger's ground truth.

Discrete in engine steps, chunked prefill, first come first served. A step costs b joules however many share it, plus a
marginal per position and per position of context; idle power runs underneath. An attempt's true energy is b/n of each
step that it takes part in plus its own marginals: the Shapley value of that game (energy.md §3.4). Used by tests and
benchmarks; it does not know real hardware, which bends (mixture of experts, power caps).
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from analytics.ledger.components import COUNTERS, GENERATED, RUNNING_STEPS
from analytics.ledger.inputs import Floats, Ints
from conventions import instruments

DAY_NS: Final = 1_800_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Truth:
    """A machine; the defaults are an 8B model on an H100 (energy.md §3.7)."""

    b: float = 3.1  # J per step
    a_p: float = 0.012  # J per prompt position
    a_px: float = 0.0  # J per prompt position and position of context
    a_d: float = 0.068
    a_c: float = 2e-5
    idle_w: float = 80.0
    step_s: float = 0.0065
    running_s: float = 4e-5  # per running request and step
    position_s: float = 3e-5  # per prompt position
    chunk: int = 2048
    max_running: int = 256


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to run, one entry each."""

    arrivals_s: Floats
    prompt: Ints
    cached: Ints
    output: Ints


@dataclass(frozen=True, slots=True)
class Meters:
    """How the world is seen: periods and offsets of engine export and energy sample, and noise of the latter."""

    export_s: float = 1.0
    export_offset_s: float = 0.37
    sample_s: float = 0.1
    sample_offset_s: float = 0.0
    noise: float = 0.0  # relative, of each energy increment
    device_type: str = "gpu"
    generated_only: bool = (
        False  # stock vLLM: no running_steps, no contexts, output tokens instead of decoded positions
    )


@dataclass(slots=True)
class Simulated:
    """What the ledger sees, and what it should find."""

    points: pa.Table
    attempts: pa.Table
    true_j: Floats  # active energy per attempt
    window_ns: tuple[int, int]
    mean_batch: float


@dataclass(slots=True)
class _Log:
    """One entry per step."""

    ends: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    counts: list[tuple[float, ...]] = field(default_factory=list)  # COUNTERS, running steps, generated


class _Machine:
    def __init__(self, load: Load, truth: Truth) -> None:
        size = len(load.arrivals_s)
        self.load, self.truth, self.log = load, truth, _Log()
        self.true_j = np.zeros(size)
        self.begun, self.first, self.ended = (np.full(size, np.nan) for _ in range(3))
        self._prefilled = load.cached.astype(np.int64).copy()
        self._made = np.zeros(size, np.int64)

    def run(self) -> None:
        arrivals = self.load.arrivals_s
        now, arrived, running = 0.0, 0, np.zeros(0, np.int64)
        while arrived < len(arrivals) or len(running):
            while arrived < len(arrivals) and arrivals[arrived] <= now and len(running) < self.truth.max_running:
                running = np.append(running, arrived)
                arrived += 1
            if not len(running):
                now = arrivals[arrived]
                continue
            now = self._step(now, running)
            running = running[self._made[running] < self.load.output[running]]

    def _step(self, now: float, running: Ints) -> float:
        chunks = self._chunks(running)
        decoding = self._prefilled[running] == self.load.prompt[running]
        truth = self.truth
        taking = decoding | (chunks > 0)
        self.begun[running[taking]] = np.fmin(self.begun[running[taking]], now)
        length = truth.step_s + truth.running_s * taking.sum() + truth.position_s * chunks.sum()
        before = self._prefilled[running]
        prompt_context = chunks * (before + (chunks - 1) / 2)
        context = np.where(decoding, self.load.prompt[running] + self._made[running] - 1, 0)
        own = truth.a_p * chunks + truth.a_px * prompt_context + truth.a_d * decoding + truth.a_c * context
        self.true_j[running] += taking * truth.b / taking.sum() + own
        self._prefilled[running] += chunks
        now += length
        makes = decoding | ((chunks > 0) & (self._prefilled[running] == self.load.prompt[running]))
        self._made[running] += makes
        self._stamp(now, running, makes)
        counted = (1, chunks.sum(), prompt_context.sum(), decoding.sum(), context.sum(), taking.sum(), makes.sum())
        self.log.ends.append(now)
        self.log.lengths.append(length)
        self.log.joules.append(float(truth.b + own.sum()))
        self.log.counts.append(tuple(map(float, counted)))
        return now

    def _chunks(self, running: Ints) -> Ints:
        left = self.load.prompt[running] - self._prefilled[running]
        budget = np.maximum(self.truth.chunk - (np.cumsum(left) - left), 0)
        return np.asarray(np.minimum(left, budget))

    def _stamp(self, now: float, running: Ints, makes: Any) -> None:
        firsts = running[makes & (self._made[running] == 1)]
        self.first[firsts] = now
        self.ended[running[self._made[running] >= self.load.output[running]]] = now


def simulate(
    load: Load, truth: Truth, meters: Meters, *, engine: str = "e", seed: int = 0, idle_s: float = 20.0
) -> Simulated:
    """Run ``load`` after ``idle_s`` seconds without any and watch it through ``meters``."""
    machine = _Machine(load, truth)
    machine.run()
    log = machine.log
    horizon = float(log.ends[-1]) + 4.0
    ends = np.array(log.ends)
    points = [_energy(log, truth, meters, idle_s, horizon, np.random.default_rng(seed))]
    points += _counters(ends, np.array(log.counts), meters, engine, idle_s, horizon)
    attempts = _attempts(machine, engine, idle_s)
    batch = float(np.array(log.counts)[:, len(COUNTERS)].mean())
    window = (DAY_NS, DAY_NS + round((horizon + idle_s) * 1e9))
    return Simulated(pa.concat_tables(points), attempts, machine.true_j, window, batch)


def _energy(
    log: _Log, truth: Truth, meters: Meters, idle_s: float, horizon: float, random: np.random.Generator
) -> pa.Table:
    times = np.arange(-idle_s + meters.sample_offset_s, horizon, meters.sample_s)
    ends, lengths = np.array(log.ends), np.array(log.lengths)
    moments = np.stack([ends - lengths, ends], axis=1).ravel()
    done = np.cumsum(log.joules)
    active = np.interp(times, moments, np.stack([done - log.joules, done], axis=1).ravel())
    increments = np.diff(active) + truth.idle_w * np.diff(times)
    noisy = increments * (1 + meters.noise * random.standard_normal(len(increments)))
    values = np.concatenate([[0.0], np.cumsum(np.maximum(noisy, 0.0))])
    return _points(instruments.HW_ENERGY.name, times + idle_s, values, device="gpu0", device_type=meters.device_type)


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


def _attempts(machine: _Machine, engine: str, idle_s: float) -> pa.Table:
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
        | {"draft_proposed": none, "draft_accepted": none}
    )


def _timestamps(seconds: Floats) -> pa.Array:
    return pa.array(DAY_NS // 1000 + np.round(seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us"))
