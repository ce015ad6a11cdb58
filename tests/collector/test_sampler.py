"""Samples reach the store by the same pipeline as everything else."""

import time
from pathlib import Path

import pytest

from collector.sampling.sampler import until_next_s
from tests.collector.running_collector import Start

REPLAY = """[collector.sampler]
interval_s = 0.1
probes = ["replay", "nvml", "rapl"]
replay = "{file}"
[[collector.processes]]
engine = "itself"
port = {port}
"""


def test_replayed_energy_and_cpu_times_arrive_in_the_store(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("t,device,joules\n" + "".join(f"{step / 10},GPU-r,{step * 20}\n" for step in range(4)))
    collector = start(sampler=REPLAY.format(file=file, port=1))
    deadline_s = time.monotonic() + 20
    rows: list[list[object]] = []
    while time.monotonic() < deadline_s and len(rows) < 4:
        time.sleep(0.1)
        rows = collector.query(
            "SELECT value, source, scope, quality, unit FROM metric_points"
            " WHERE metric = 'hw.energy' AND device = 'GPU-r' ORDER BY time_ns"
        )
    assert rows == [[step * 20.0, "replay", "gpu", "measured", "J"] for step in range(4)]
    busy = collector.query("SELECT value FROM metric_points WHERE metric = 'system.cpu.time' ORDER BY time_ns")
    assert [value for (value,) in busy] == sorted(value for (value,) in busy)
    assert "probe nvml: " in collector.log.read_text()
    assert "probe rapl: " in collector.log.read_text()


@pytest.mark.parametrize(
    ("interval_s", "now_s", "wait_s"),
    [(1.0, 100.0, 1.0), (1.0, 100.25, 0.75), (1.0, 100.995, 1.005), (5.0, 101.0, 4.0), (0.1, 100.0625, 0.0375)],
)
def test_rounds_begin_where_the_ledger_cuts(interval_s: float, now_s: float, wait_s: float) -> None:
    assert until_next_s(interval_s, now_s) == pytest.approx(wait_s)
