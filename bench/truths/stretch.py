"""Hours of one engine without stepping through them: spans, counters and energy that agree, made by cumulative sums.

Decoding advances evenly over its time, so that every counter is piecewise linear; what is asked for is the cost of
attributing, not its accuracy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from analytics.ledger.components import COUNTERS, GENERATED, RUNNING_STEPS
from analytics.ledger.inputs import Floats
from conventions import instruments

EPOCH_NS: Final = 1_800_000_000_000_000_000
STEP_S: Final = 0.0065
PREFILL_S: Final = 0.03
CONSTANTS: Final = np.array([3.1, 0.012, 0.0, 0.068, 2e-5])
IDLE_W: Final = 80.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """``points`` and ``attempts`` as the ledger takes them."""

    points: pa.Table
    attempts: pa.Table


def stretch(begin_s: float, end_s: float, requests_per_s: float, answer_tokens: float, seed: int) -> Stretch:
    """All that happens in [begin_s, end_s) since EPOCH_NS, nothing at its edges: requests end before ``end_s``."""
    random = np.random.default_rng(seed)
    size = round((end_s - begin_s) * requests_per_s)
    output = np.clip(random.lognormal(np.log(answer_tokens) - 0.32, 0.8, size), 2, 1000).astype(np.int64)
    lasts = PREFILL_S + output * STEP_S
    started = np.sort(begin_s + random.uniform(0, 1, size) * (end_s - begin_s - 8.0))
    prompt = np.clip(random.lognormal(6.5, 1.0, size), 16, 8000).astype(np.int64)
    ended = np.minimum(started + lasts, end_s)
    moments = (started, started, started + PREFILL_S, ended)
    return Stretch(_points(begin_s, end_s, moments, prompt, output), _attempts(begin_s, moments, prompt, output))


def _points(begin_s: float, end_s: float, moments: tuple[Floats, ...], prompt: Floats, output: Floats) -> pa.Table:
    times = np.arange(begin_s + 0.37, end_s, 1.0)
    _, started, first, ended = moments
    decoded = output - 1.0
    prefill = _ramps(times, started, first, prompt)
    decode = _ramps(times, first, ended, decoded)
    context = _ramps(times, first, ended, decoded * (prompt + decoded / 2))
    running = _ramps(times, started, first, np.ones(len(prompt))) + decode
    cuts = np.sort(np.concatenate([started, ended]))
    alive = np.cumsum(np.where(np.argsort(np.concatenate([started, ended]), kind="stable") < len(started), 1, -1))
    busy = np.concatenate([[0.0], np.cumsum(np.diff(cuts) * (alive[:-1] > 0))])
    steps = np.interp(times, cuts, busy) / STEP_S
    counted = np.stack([steps, prefill, np.zeros(len(times)), decode, context])
    metrics = dict(zip(COUNTERS, counted, strict=True)) | {RUNNING_STEPS: running, GENERATED: decode}
    tables = [_series(name, times, values, engine="e") for name, values in metrics.items()]
    joules = CONSTANTS @ counted + IDLE_W * (times - begin_s)
    return pa.concat_tables([*tables, _series(instruments.HW_ENERGY.name, times, joules, device="gpu0")])


def _ramps(times: Floats, begin: Floats, end: Floats, amounts: Floats) -> Floats:
    """The sum at ``times`` of amounts that grow evenly from their begin to their end."""
    cuts, inverse = np.unique(np.concatenate([begin, end]), return_inverse=True)
    slope = amounts / np.maximum(end - begin, 1e-6)
    change = np.bincount(inverse, np.concatenate([slope, -slope]), len(cuts))
    done = np.concatenate([[0.0], np.cumsum(np.cumsum(change)[:-1] * np.diff(cuts))])
    return np.maximum.accumulate(np.interp(times, cuts, done))


def _series(metric: str, times: Floats, values: Floats, **said: str) -> pa.Table:
    size = len(times)
    texts = {"engine": None, "device": None, "device_type": "gpu" if "device" in said else None, "host": None}
    texts |= {"source": "replay", "scope": "gpu", "quality": "simulated", "metric": metric} | said
    columns = {name: pa.repeat(pa.scalar(text, pa.string()), size) for name, text in texts.items()}
    stamps = pa.array(EPOCH_NS + np.round(times * 1e9).astype(np.int64))
    return pa.table(columns | {"time_ns": stamps, "start_ns": pa.repeat(EPOCH_NS, size), "value": pa.array(values)})


def _attempts(begin_s: float, moments: tuple[Floats, ...], prompt: Floats, output: Floats) -> pa.Table:
    size = len(prompt)
    names = ("started_at", "prefill_started_at", "first_token_at", "ended_at")
    stamps = {name: pa.array(EPOCH_NS // 1000 + np.round(values * 1e6).astype(np.int64)).cast(pa.timestamp("us"))
              for name, values in zip(names, moments, strict=True)}  # fmt: skip
    texts = {"engine": "e", "model": "m", "outcome": "answered"}
    none = pa.nulls(size, pa.int64())
    return pa.table(
        {"request_id": pa.array(np.char.add(f"{begin_s:.0f}-", np.arange(size).astype(str)), pa.string())}
        | {"attempt": pa.repeat(pa.scalar(1, pa.int32()), size)}
        | {name: pa.repeat(text, size) for name, text in texts.items()}
        | stamps
        | {"input_tokens": pa.array(prompt), "output_tokens": pa.array(output)}
        | {"cached_input_tokens": pa.repeat(0, size), "draft_proposed": none, "draft_accepted": none}
        | {"exit_skipped": none.cast(pa.float64())}
    )
