"""What does a batching policy change for callers? ``python -m bench.batching [--quick]``

The step costs of the shipped ``expert`` are measured on this machine; then the real loop is replayed, with a device
that only takes that time, on an hour of recorded arrivals (Azure LLM inference trace, CSV: TIMESTAMP, ContextTokens,
GeneratedTokens; ``TOKENJOULE_AZURE_TRACE`` names the file). Simulated time: figures compare policies, not machines.
"""

import csv
import datetime
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls

from bench.result import Options, options, publish
from serving.engine import checkpoint, model
from serving.engine.batch import Span
from serving.engine.construction import batching_policy
from serving.engine.forward import logits_of
from serving.engine.kv import KvCache
from serving.engine.replay import Arrival, Limits, Outcome, StepCost, at_load, replay

TRACE = "TOKENJOULE_AZURE_TRACE"
WEIGHTS = Path(__file__).parents[1] / "serving" / "weights" / "expert"
LOADS = (0.2, 0.4)
"""Seconds of prefill that arrive per second. The trace comes in bursts: queues are minutes long at such means already.
"""
ITL_TARGET_S, PATIENCE_S = 0.1, 300.0
STEPS = 12


def main() -> None:
    """Measure, replay, print."""
    chosen = options(__doc__)
    cost = measured_cost()
    figures: dict[str, float | str | None] = {
        "step_base_ms": 1000 * cost.base_s,
        "prefill_us_per_token": 1e6 * cost.prefill_s,
        "decode_us_per_token": 1e6 * cost.decode_s,
    }
    arrivals = _arrivals(chosen)
    if arrivals is None:
        figures["replay"] = f"missing: name the Azure trace (2023, code) in {TRACE}"
    else:
        figures |= {key: value for load in LOADS for key, value in _compared(arrivals, cost, load).items()}
    publish("batching", figures, chosen, f"token_aware against continuous, simulated, {len(arrivals or ())} requests")


def _compared(arrivals: list[Arrival], cost: StepCost, load: float) -> dict[str, float]:
    """Both policies on the arrivals at a pace where prefill alone is ``load`` of the time."""
    work_s = sum(one.num_prompt * cost.prefill_s + one.num_prompt**2 / 2 * cost.prefill_context_s for one in arrivals)
    paced = at_load(arrivals, load * (arrivals[-1].at_s - arrivals[0].at_s) / work_s)
    plain = replay(batching_policy("continuous", {}), paced, cost, Limits())
    aware = replay(
        batching_policy("token_aware", {"patience_s": PATIENCE_S}), paced, cost, Limits(itl_target_s=ITL_TARGET_S)
    )
    found = {
        "continuous_busy_share": plain.busy_share,
        "continuous_ttft_p95_s": _p(plain.ttft_s, 95),
        "ttft_p50_change": _change(plain, aware, "ttft_s", 50),
        "ttft_p95_change": _change(plain, aware, "ttft_s", 95),
        "ttft_p99_change": _change(plain, aware, "ttft_s", 99),
        "tpot_p99_change": _change(plain, aware, "tpot_s", 99),
        "throughput_change": aware.tokens_per_s / plain.tokens_per_s - 1,
    }
    return {f"{name}_at_{100 * load:.0f}": value for name, value in found.items()}


def measured_cost() -> StepCost:
    """CPU seconds of steps of many shapes, one thread, fitted without negative terms."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    llm = model.load(checkpoint.open_folder(WEIGHTS), 2048, torch.float32, device)
    kv = KvCache(llm.kv_shape, 32, 2048, torch.float32, device)
    rows, seconds = [], []
    for spans in _shapes():
        for _ in range(2):
            logits_of(llm, kv, spans)
        began = time.process_time()
        for _ in range(STEPS):
            logits_of(llm, kv, spans)
        seconds.append((time.process_time() - began) / STEPS)
        rows.append(_features(spans))
    return StepCost(*map(float, nnls(np.array(rows) / np.array(seconds)[:, None], np.ones(len(rows)))[0]))


def _shapes() -> Iterator[list[Span]]:
    """Decodes alone, chunks alone, and both, at short and long contexts."""
    for count, context in itertools.product((1, 4, 16, 32), (50, 400, 1500)):
        yield _decodes(count, context)
    for length, start in itertools.product((16, 128, 512), (0, 500, 1400)):
        yield [_chunk(0, start, length)]
    yield [*_decodes(8, 300), _chunk(8, 0, 256)]
    yield [*_decodes(16, 600), _chunk(16, 512, 256)]


def _decodes(count: int, context: int) -> list[Span]:
    return [Span(slot, context, [7], decodes=True, samples=True) for slot in range(count)]


def _chunk(slot: int, start: int, length: int) -> Span:
    return Span(slot, start, [7] * length, decodes=False, samples=True)


def _features(spans: list[Span]) -> list[float]:
    """The terms of ``StepCost``: what each of them alone, at one second, would make of the step."""
    return [StepCost(*(float(i == j) for j in range(5))).seconds(spans) for i in range(5)]


def _arrivals(chosen: Options) -> list[Arrival] | None:
    """The recorded hour, or its first part; None where there is no trace."""
    path = os.environ.get(TRACE)
    if path is None:
        return None
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[: 3000 if chosen.quick else None]
    times = [datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return [
        Arrival(at - times[0], int(row["ContextTokens"]), max(1, int(row["GeneratedTokens"])))
        for at, row in zip(times, rows, strict=True)
    ]


def _p(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", percent: float) -> float:
    return float(np.percentile(values, percent))


def _change(plain: Outcome, other: Outcome, name: str, percent: float) -> float:
    return _p(getattr(other, name), percent) / _p(getattr(plain, name), percent) - 1


if __name__ == "__main__":
    main()
