"""Do joules per token follow a + b/B? ``python -m bench.sweep [--quick] [--json PATH]``.

A load sweep: J per output token against the mean batch B. On the simulated H100 the ledger's active joules over eight
batches, computed prompts subtracted at the fitted price; on our own engine (``scout``, one thread, a real process)
closed-loop callers in growing number, CPU seconds of the engine's process × the estimated watts of a busy thread.
Published curves have R² 0.9994 at the median (H100, chat; energy.md §3.3).
"""

import json
import re
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import pyarrow.compute as pc

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs
from analytics.ledger.simulation import Truth, simulate
from bench.result import options, publish
from bench.truths.catalogue import BOARD
from bench.truths.loads import chat, load_for
from collector.probes.cpu_model import DEFAULT_W_PER_THREAD, IDLE_SHARE
from tokenjoule import configuration, stack

CONFIG: Final = Path(__file__).parents[1] / "config" / "demo.toml"
ENGINE: Final = "scout"
CALLERS: Final = (1, 2, 4, 8, 16)
BATCHES: Final = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 192.0)
BUSY_THREAD_W: Final = DEFAULT_W_PER_THREAD * (1 - IDLE_SHARE)  # estimated: what a busy second adds


@dataclass(frozen=True, slots=True)
class Line:
    """J per token = a + b/B, and the share of variance that it explains."""

    a: float
    b: float
    r2: float


def main() -> None:
    """Sweep both, publish."""
    chosen = options(__doc__)
    simulated = fitted(simulated_sweep(150.0 if chosen.quick else 600.0))
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder)) as (url, pid):
        own = fitted(engine_sweep(url, pid, 2.0 if chosen.quick else 10.0))
    figures: dict[str, float | str | None] = {}
    for name, line in (("h100_simulated", simulated), ("own_engine_cpu_estimated", own)):
        figures |= {f"{name}_a_j": line.a, f"{name}_b_j": line.b, f"{name}_r2": line.r2}
    publish("sweep", figures, chosen, "J per output token = a + b/B over the mean batch B of a step")


def fitted(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares of J per token on 1/B over (B, J per token)."""
    batch, joules = np.array(points).T
    b, a = np.polyfit(1 / batch, joules, 1)
    rest = joules - a - b / batch
    return Line(float(a), float(b), float(1 - rest.var() / joules.var()))


def simulated_sweep(seconds: float) -> list[tuple[float, float]]:
    """(B, J per output token without prompts) of the simulated H100 as the ledger finds them."""
    found = []
    for seed, batch in enumerate(BATCHES):
        truth = Truth(max_running=512)
        load = load_for(batch, seconds, chat(40_000, seed), truth)
        simulated = simulate(load, truth, replace(BOARD, skew_s=0.02), seed=seed)
        energy = attribute(LedgerInputs(simulated.points, simulated.attempts, simulated.window_ns)).attempt_energy
        decode = energy.filter(pc.not_equal(energy["component"], "prefill"))
        found.append((simulated.mean_batch, pc.sum(decode["joules"]).as_py() / float(load.output.sum())))
    return found


def engine_sweep(url: str, pid: int, seconds: float) -> list[tuple[float, float]]:
    """(B, estimated J per output token) of a real engine, for every number of callers."""
    _called(url, 2, seconds / 2)  # first steps build their tensors
    return [_measured(url, pid, callers, seconds) for callers in CALLERS]


@contextmanager
def engine(folder: Path) -> Iterator[tuple[str, int]]:
    """The demo's small engine alone on a free port: its address and process id."""
    derived = configuration.derive(CONFIG, folder, free_ports=True, overrides={})
    processes = stack.Stack(folder / "logs")
    try:
        named = f"engine:{ENGINE}"
        every = stack.specs(derived, dashboard=False, only=frozenset({"engine"}))
        urls = processes.start_in_order([spec for spec in every if spec.name == named])
        yield urls[named], processes.pid(named)
    finally:
        processes.stop()


def _measured(url: str, pid: int, callers: int, seconds: float) -> tuple[float, float]:
    before, spent = _counters(url), _cpu_s(pid)
    _called(url, callers, seconds)
    after, used_s = _counters(url), _cpu_s(pid) - spent
    steps, running, tokens = (
        after[name] - before[name] for name in ("engine_steps", "engine_running_steps", "engine_generated_tokens")
    )
    return running / steps, used_s * BUSY_THREAD_W / tokens


def _called(url: str, callers: int, seconds: float) -> None:
    """``callers`` ask again and again until ``seconds`` have passed; every call that began is finished."""
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=_caller, args=(url, number, until)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _caller(url: str, number: int, until: float) -> None:
    call = 0
    while call == 0 or time.monotonic() < until:
        call += 1
        question = {"role": "user", "content": f"Where is book {number} of shelf {call}?"}
        body = {"model": ENGINE, "messages": [question], "max_tokens": 48, "temperature": 1.0, "ignore_eos": True}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()


def _counters(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^tokenjoule_(\w+)_total\{[^}]*\} (\S+)$", page, re.M)}


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
