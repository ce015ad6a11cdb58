"""Samples reach the store by the same pipeline as everything else."""

import time
from pathlib import Path

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
