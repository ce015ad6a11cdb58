"""tokenjoule: its NVML probe on the sampler's schedule, and the ledger's reading of a counter between two moments.

As the ledger does, windows are cut into intervals of 2 s, and one that touches a break of the series is not known.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.ledger.series import series
from analytics.ledger.shape import OF_THE_MOMENT
from bench.nvml.watchers.readings import asked, late
from collector.probes.nvml import Probe
from collector.sampling.sample import ProbeContext, Sample
from collector.sampling.sampler import until_next_s
from conventions.instruments import HW_ENERGY, HW_POWER

MARGIN_S = 2.0  # of samples before the first and after the last window
INTERVAL_S = 2.0
KINDS = {"time_ns": pa.int64(), "start_ns": pa.int64(), "value": pa.float64()}


def sampled(probe: Probe, epoch_s: float, until_s: float, every_s: float) -> list[Sample]:
    """Samples of energy and power until ``until_s`` of the script."""
    samples: list[Sample] = []
    while time.monotonic() < epoch_s + until_s:
        samples += [sample for sample in probe.read() if sample.instrument in (HW_ENERGY, HW_POWER)]
        time.sleep(until_next_s(every_s, time.time()))
    probe.close()
    return samples


def spans(samples: list[Sample], start_s: float, end_s: float, origin_ns: int) -> list[list[float]]:
    """The intervals of the window whose energy is known."""
    energy = _points([sample for sample in samples if sample.instrument is HW_ENERGY])
    power = _points([sample for sample in samples if _is_of_the_moment(sample)])
    count = max(1, round((end_s - start_s) / INTERVAL_S))
    edges = np.linspace(start_s, end_s, count + 1)
    joules, known = series(energy, origin_ns, power if power.num_rows else None).between(edges)
    return [[edges[one], edges[one + 1], joules[one]] for one in range(count) if known[one]]


def _points(samples: list[Sample]) -> pa.Table:
    names = ("time_ns", "start_ns", "value")
    return pa.table({name: pa.array([getattr(one, name) for one in samples], KINDS[name]) for name in names})


def _is_of_the_moment(sample: Sample) -> bool:
    said = sample.provenance
    return sample.instrument is HW_POWER and said is not None and said.source.endswith(OF_THE_MOMENT)


def main() -> None:
    """Print the spans of every board; the third argument is the sampling interval in seconds."""
    epoch_s, windows = asked()
    origin_ns = time.time_ns() - int((time.monotonic() - epoch_s) * 1e9)
    probe = Probe(ProbeContext())
    if told := late([(board, start_s - MARGIN_S, end_s) for board, start_s, end_s in windows], epoch_s):
        print(json.dumps({board: told for board, _, _ in windows}))
        return
    samples = sampled(probe, epoch_s, max(end_s for _, _, end_s in windows) + MARGIN_S, float(sys.argv[3]))
    names = sorted({sample.device.id for sample in samples if sample.device})  # GPU-00, GPU-01 …
    found: dict[int, Any] = {board: [] for board, _, _ in windows}
    for board, start_s, end_s in windows:
        own = [sample for sample in samples if sample.device and sample.device.id == names[board]]
        found[board] += spans(own, start_s, end_s, origin_ns)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
