"""What sampling energy costs: CPU time of our NVML probe per GPU, on emulated boards through the real binding.

The driver's own work is not in it: a real counter takes milliseconds a reading, of which the emulator knows nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.nvml.curve import Board
from bench.nvml.emulator import build, play
from bench.result import options, publish

BOARDS = (1, 8)
HERTZ = 10.0
WORKER = "worker"


def worker(rounds: int) -> None:
    """CPU seconds per round: reading the probe alone, and with the rows for the store."""
    from collector.decoding import columns
    from collector.probes.nvml import Probe
    from collector.sampling.sample import ProbeContext
    from collector.sampling.sampler import row

    probe = Probe(ProbeContext(), counting_s=0.0)
    columns.table("metric_points", [row(sample, 0, "host") for sample in probe.read()])  # the first loads schemas
    began_s = time.process_time()
    for _ in range(rounds):
        probe.read()
    read_s = time.process_time() - began_s
    for _ in range(rounds // int(HERTZ)):  # the sampler submits once a second
        samples = [sample for _ in range(int(HERTZ)) for sample in probe.read()]
        columns.table("metric_points", [row(sample, time.time_ns(), "host") for sample in samples])
    print(json.dumps([read_s / rounds, (time.process_time() - began_s - read_s) / rounds]))


def measure(boards: int, rounds: int) -> list[float]:
    """The worker's answer for a host of so many boards."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        played = play(Path(folder), [Board(f"GPU-{number}", [(0.0, 300.0)]) for number in range(boards)])
        command = [sys.executable, "-m", "bench.sampling", WORKER, str(rounds)]
        environment = {**os.environ, **played.environment}
        return list(
            map(float, json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))
        )


def main() -> None:
    chosen = options(__doc__)
    rounds = 500 if chosen.quick else 5000
    figures: dict[str, float | str | None] = {}
    for boards in BOARDS:
        read_s, stored_s = measure(boards, rounds)
        figures[f"read_ms_per_gpu_of_{boards}"] = read_s / boards * 1e3
        figures[f"read_core_share_10hz_of_{boards}"] = read_s / boards * HERTZ
        figures[f"read_and_rows_core_share_10hz_of_{boards}"] = stored_s / boards * HERTZ
    publish("sampling", figures, chosen, f"{rounds} rounds, CPU time, emulated boards")


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        worker(int(sys.argv[2]))
    else:
        main()
