"""What a board's meter is worth, in five minutes: its counter's steps, what readings take, counter against power.

Readings lie 20 ms apart. The counter is compared with the integral of instant power and of power usage over windows of
0.5 to 10 s, idle and busy apart, because short differences of counters are known to be biased (−26 % at 0.5 s, none at
5 s on one board). Neither is the truth: only a meter at the wall is.
"""

import csv
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
from numpy.typing import NDArray

from collector.nvidia.board import Board
from collector.nvidia.counting import look
from collector.nvidia.power import PowerQuestion
from conventions.units import joules_from_millijoules

EVERY_S = 0.02
RECORDED_EVERY_S = 0.1  # five minutes of one board are 0.2 MB
WINDOWS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
STEPS, LONGEST_S = 40, 6.0
BUSY = 0.5  # utilisation from which a window counts as busy; idle is none at all

Figures = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything a board says at once; NaN is no answer."""

    time_ns: int
    energy_j: float
    instant_w: float
    usage_w: float
    busy: float


def look_closely(board: Board) -> Figures:
    """Seconds that readings take and between steps of the counter; blocks for up to 6 s a board."""
    costs, periods = look(lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(board.handle)), STEPS, LONGEST_S)
    figures: Figures = {
        "name": board.device.name,
        "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
        "scope": board.energy.scope,
        "MIG": "on" if board.under_mig else "off",
        "field 186": "no" if board.power.nvml_scope is None else ("gpu", "module")[board.power.nvml_scope],
    }
    named = {"counter": costs, "power usage": _costs(PowerQuestion(None).ask, board)}
    if board.power.nvml_scope is not None:
        named["field 186"] = _costs(board.power.ask, board)
    for name, seconds in named.items():
        figures |= {f"read {name}, p50 ms": _ms(seconds, 50), f"read {name}, max ms": _ms(seconds, 100)}
    for quantile in (10, 50, 90):
        figures[f"counter step, p{quantile} ms"] = _ms(periods, quantile)
    return figures


def record(boards: Sequence[Board], seconds: float) -> Iterator[list[Reading]]:
    """One reading of every board each 20 ms; a late one is not made up for."""
    end_s = time.monotonic() + seconds
    due_s = time.monotonic()
    while due_s < end_s:
        yield [_reading(board) for board in boards]
        due_s = max(due_s + EVERY_S, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def compare(readings: Sequence[Reading]) -> Figures:
    """Watts at rest and under load, and the counter over integrated power by window and load (1 is agreement)."""
    t_s = np.array([one.time_ns for one in readings], dtype=np.float64) / 1e9
    energy_j = np.array([one.energy_j for one in readings])
    busy = np.array([one.busy for one in readings])
    figures: Figures = {}
    for load, chosen in (("idle", busy == 0.0), ("busy", busy >= BUSY)):
        figures[f"{load}, W by counter"] = _watts(t_s, energy_j, chosen)
        for kind in ("instant", "usage"):
            power_w = np.array([getattr(one, f"{kind}_w") for one in readings])
            integral_j = _integral(t_s, power_w)
            for window_s in WINDOWS_S:
                ratio, spread = _ratios(t_s, energy_j, integral_j, chosen, window_s)
                name = f"{load}, counter / {kind} power over {window_s:g} s"
                figures |= {name: ratio, f"{name}, p95 deviation": spread}
    return figures


def write_recording(path: Path, boards: Sequence[Board], rounds: Sequence[Sequence[Reading]]) -> None:
    """The counters in the format of the ``replay`` probe, ten rows a second and board, from second 0."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["t", "device", "joules", "type", "name", "scope", "quality", "instant_w", "usage_w"])
        last_ns = 0
        for readings in rounds:
            if readings[0].time_ns - last_ns < RECORDED_EVERY_S * 1e9:
                continue
            last_ns = readings[0].time_ns
            for board, one in zip(boards, readings, strict=True):
                since_s = (one.time_ns - rounds[0][0].time_ns) / 1e9
                if not np.isnan(one.energy_j):
                    start = [f"{since_s:.4f}", board.device.id, f"{one.energy_j:.3f}", "gpu", board.device.name]
                    rows.writerow(
                        [*start, board.energy.scope, "measured", f"{one.instant_w:.1f}", f"{one.usage_w:.1f}"]
                    )


def _reading(board: Board) -> Reading:
    asked_ns = time.time_ns()
    millijoules = _answer(pynvml.nvmlDeviceGetTotalEnergyConsumption, board)
    time_ns = (asked_ns + time.time_ns()) // 2
    instant_w = float("nan") if board.power.nvml_scope is None else _answer(board.power.ask, board)
    busy = _answer(lambda handle: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100.0, board)
    return Reading(
        time_ns, joules_from_millijoules(millijoules), instant_w, _answer(PowerQuestion(None).ask, board), busy
    )


def _answer(question: Callable[[Any], float], board: Board) -> float:
    try:
        return float(question(board.handle))
    except pynvml.NVMLError:
        return float("nan")


def _costs(question: Callable[[Any], float], board: Board, count: int = 50) -> list[float]:
    costs = []
    for _ in range(count):
        began_s = time.perf_counter()
        question(board.handle)
        costs.append(time.perf_counter() - began_s)
    return costs


Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _integral(t_s: Floats, power_w: Floats) -> Floats:
    """Trapezoids from the first reading on; where power has no answer the integral has none either."""
    steps = np.diff(t_s) * (power_w[1:] + power_w[:-1]) / 2
    return np.concatenate([[0.0], np.cumsum(steps)])


def _ratios(
    t_s: Floats, energy_j: Floats, integral_j: Floats, chosen: Flags, window_s: float
) -> tuple[float | None, float | None]:
    """Median of counter ÷ integral over neighbouring windows that are wholly ``chosen``, and the 95 % deviation."""
    edges = np.searchsorted(t_s, np.arange(t_s[0], t_s[-1], window_s))
    ratios = []
    for first, last in itertools.pairwise(edges):
        counted_j, integrated_j = energy_j[last] - energy_j[first], integral_j[last] - integral_j[first]
        if chosen[first : last + 1].all() and counted_j >= 0 and integrated_j > 0:
            ratios.append(counted_j / integrated_j)
    if not ratios:
        return None, None
    return float(np.median(ratios)), float(np.quantile(np.abs(np.array(ratios) - 1.0), 0.95))


def _watts(t_s: Floats, energy_j: Floats, chosen: Flags) -> float | None:
    pairs = chosen[1:] & chosen[:-1] & (np.diff(energy_j) >= 0)
    return float(np.diff(energy_j)[pairs].sum() / np.diff(t_s)[pairs].sum()) if pairs.any() else None


def _ms(seconds: Sequence[float], quantile: float) -> float | None:
    return float(np.percentile(seconds, quantile)) * 1e3 if seconds else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
