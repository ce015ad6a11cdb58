"""The five-minute check finds what the emulator was told, and its recording plays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.nvml.curve import Board
from bench.nvml.emulator import play
from collector.nvidia.check import Reading, compare
from collector.probes import replay
from collector.sampling.sample import ProbeContext
from tests.collector.emulated_nvml import library

WATTS = 200.0


def test_the_check_finds_the_scripted_board_and_records_it(tmp_path: Path) -> None:
    (tmp_path / library().name).symlink_to(library())
    settings = {"refresh_ms": 20, "gpu_scope": 0, "module_scope": 1, "c2c": 1}
    played = play(tmp_path, [Board("GPU-a", [(0.0, WATTS)], settings=settings)])
    recording = tmp_path / "recording.csv"
    command = [*("-m", "tokenjoule", "doctor", "--gpu-check", str(recording)), *("--gpu-seconds", "3")]
    load = ["--gpu-load", "sleep 60"]
    ended = subprocess.run(
        [sys.executable, *command, *load], env={**os.environ, **played.environment}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    values = dict(line.strip("│").split("│") for line in ended.stdout.splitlines() if line.startswith("│"))
    figures = {name.strip(): value.strip() for name, value in values.items()}
    assert (figures["scope"], figures["field 186"], figures["MIG"]) == ("module", "module", "off")
    assert 18 <= float(figures["counter step, p50 ms"]) <= 60  # 20 ms; a busy machine misses steps
    assert float(figures["idle, W by counter"]) == pytest.approx(WATTS, rel=0.05)
    rows = [line.split(",") for line in recording.read_text().splitlines()[1:]]
    seconds, joules = float(rows[-1][0]) - float(rows[0][0]), float(rows[-1][2]) - float(rows[0][2])
    assert seconds > 2
    assert abs(joules - WATTS * seconds) <= WATTS * 0.02 + 0.5  # a refresh period, and the time of a reading
    assert f"{len(rows)} readings" in replay.Probe(ProbeContext(replay=recording)).description


def test_a_counter_that_misses_a_tenth_is_told_apart_at_rest_and_under_load() -> None:
    readings = [Reading(round(step * 2e7), step * 0.9 * 2.0, 100.0, 100.0, 0.0) for step in range(1500)]
    jump_j = 1500 * 0.9 * 2.0
    readings += [
        Reading(round(step * 2e7), jump_j + (step - 1500) * 4.0, 200.0, 160.0, 1.0) for step in range(1500, 3000)
    ]
    figures = compare(readings)
    assert figures["idle, W by counter"] == pytest.approx(90.0)
    assert figures["busy, W by counter"] == pytest.approx(200.0)
    assert figures["idle, counter / instant power over 2 s"] == pytest.approx(0.9, abs=0.005)
    assert figures["busy, counter / instant power over 2 s"] == pytest.approx(1.0, abs=0.005)
    assert figures["busy, counter / usage power over 2 s"] == pytest.approx(1.25, abs=0.005)


def test_without_a_driver_it_says_where_to_run_it(tmp_path: Path) -> None:
    (tmp_path / library().name).symlink_to(library())
    played = play(tmp_path, [])  # an emulator without boards is a driver without GPUs
    environment = {**os.environ, **played.environment, "NVML_EMULATOR_SCRIPT": ""}
    command = ["-m", "tokenjoule", "doctor", "--gpu-check", str(tmp_path / "none.csv")]
    ended = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "run this where the GPU is" in " ".join(ended.stdout.split())
