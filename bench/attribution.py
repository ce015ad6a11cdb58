"""Does attribution grow linearly? ``python -m bench.attribution [--quick] [--json PATH]``.

Four sizes of requests × 2 s intervals of one engine (ten requests per interval, counters and energy once a second),
attributed in windows of six hours through the path that settling takes. Two processes take stretches of the time in
turns; only the ledger's CPU seconds are counted, not the making of the data. The largest size is 10 million requests ×
1 million intervals.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import LedgerResult, LedgerSettings
from analytics.ledger.streaming import SECOND_NS, WINDOW_S, attribute_windows
from bench.result import options, publish
from bench.truths.stretch import EPOCH_NS, stretch
from conventions import instruments

PROCESSES: Final = 2
PARTS: Final = ("attributed_j", "idle_j", "unattributed_j")
REQUESTS_PER_S: Final = 5.0  # ten per interval
ANSWER_TOKENS: Final = 150.0
SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES: Final = (4_000, 16_000, 64_000, 256_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stretch took and gave."""

    cpu_s: float
    requests: int
    pairs: int  # attempt and interval
    imbalance: float  # |attributed + idle + unattributed − the counter's difference|, relative
    peak_mb: float


def main() -> None:
    """Attribute, publish."""
    chosen = options(__doc__)
    sizes = QUICK_SIZES if chosen.quick else SIZES
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(attributed, [(0.0, 600.0)] * PROCESSES))  # imports are no part of it
        runs = [list(pool.map(attributed, _stretches(size / REQUESTS_PER_S))) for size in sizes]
    cpu_s = [sum(cost.cpu_s for cost in run) for run in runs]
    largest = runs[-1]
    requests = sum(cost.requests for cost in largest)
    figures: dict[str, float | str | None] = {
        f"cpu_s_{size:,}_requests": seconds for size, seconds in zip(sizes, cpu_s, strict=True)
    }
    figures |= {
        "seconds_on_two_cores": cpu_s[-1] / PROCESSES,
        "requests_per_s": requests / (cpu_s[-1] / PROCESSES),
        "growth_exponent": _slope(sizes, cpu_s),
        "pairs_of_request_and_interval": sum(cost.pairs for cost in largest),
        "largest_imbalance": max(cost.imbalance for run in runs for cost in run),
        "peak_mb_per_process": max(cost.peak_mb for cost in largest),
    }
    publish("attribution", figures, chosen, f"{requests:,} requests × {requests // 10:,} intervals at the largest")


def attributed(span_s: tuple[float, float]) -> Cost:
    """Make a stretch of time and attribute it."""
    begin, end = span_s
    made = stretch(begin, end, REQUESTS_PER_S, ANSWER_TOKENS, seed=round(begin))
    began = time.process_time()
    results = _windows(made.points, made.attempts, begin, end)
    pairs, split_j = 0, 0.0
    for result in results:
        pairs += result.attempt_energy.num_rows
        split_j += sum(pc.sum(result.intervals[part]).as_py() for part in PARTS)
    metered_j = _metered_j(made.points, begin, end)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Cost(time.process_time() - began, made.attempts.num_rows, pairs, abs(split_j / metered_j - 1), peak_mb)


def _windows(points: pa.Table, attempts: pa.Table, begin: float, end: float) -> Iterator[LedgerResult]:
    span = tuple(EPOCH_NS + round(moment) * SECOND_NS for moment in (begin, end))

    def points_in(low: int, high: int) -> pa.Table:
        return points.filter(pc.and_(pc.greater_equal(points["time_ns"], low), pc.less(points["time_ns"], high)))

    def attempts_in(low: int, high: int) -> pa.Table:
        starts, ends = (pc.cast(attempts[name], pa.int64()) for name in ("started_at", "ended_at"))
        return attempts.filter(pc.and_(pc.less(starts, high // 1000), pc.greater_equal(ends, low // 1000)))

    return attribute_windows(points_in, attempts_in, (span[0], span[1]), LedgerSettings())


def _metered_j(points: pa.Table, begin: float, end: float) -> float:
    """The counter's difference between the first and the last interval edge that samples enclose."""
    meter = points.filter(pc.equal(points["metric"], instruments.HW_ENERGY.name))
    times, joules = (meter["time_ns"].to_numpy() - EPOCH_NS) / SECOND_NS, meter["value"].to_numpy()
    edges = np.arange(math.ceil(begin / 2) * 2, end + 1, 2.0)
    edges = edges[(edges >= times[0]) & (edges <= times[-1])]
    return float(np.diff(np.interp(edges[[0, -1]], times, joules))[0])


def _stretches(seconds: float) -> list[tuple[float, float]]:
    """The time cut into pieces of a window, so that no process holds more."""
    pieces = max(PROCESSES, math.ceil(seconds / WINDOW_S))
    length = math.ceil(seconds / pieces / 2) * 2
    return [(number * length, (number + 1) * length) for number in range(pieces)]


def _slope(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """The exponent of time in size, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


if __name__ == "__main__":
    main()
