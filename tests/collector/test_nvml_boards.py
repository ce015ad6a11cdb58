"""What the NVML probe makes of boards: the emulator behind the real binding and the real probe."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pynvml
import pytest

from bench.nvml.curve import Board, Failure, square
from bench.nvml.emulator import play
from collector.sampling.sample import ProbeUnavailable
from conventions.instruments import GPU_MEMORY_USAGE, GPU_UTILIZATION, HW_ENERGY, HW_ENERGY_REFRESH, HW_POWER
from tests.collector.emulated_nvml import by_name, emulated, energy, library, probing

FLAT = [(0.0, 100.0)]
GIGA = {"base_mj": 5_000_000.0}


def failing(kind: str, code: int, start_s: float = 0.0, end_s: float = 1e9) -> Board:
    return Board("GPU-a", FLAT, failures=[Failure(kind, start_s, end_s, code)], settings=GIGA)


def test_the_counter_is_the_total_in_joules_by_uuid() -> None:
    board = Board("GPU-abc", FLAT, name="NVIDIA H200", settings={"base_mj": 5_000, "memory_mb": 0})
    with emulated(board), probing() as probe:
        samples = probe.read()
    found = {sample.instrument: sample for sample in samples}
    assert set(found) == {HW_ENERGY, HW_POWER, GPU_UTILIZATION}  # memory is not answered: left out, not zero
    sample = found[HW_ENERGY]
    assert sample.device is not None
    assert sample.provenance is not None
    assert (sample.device.id, sample.device.name, sample.value) == ("GPU-abc", "NVIDIA H200", 5.0)
    assert (sample.provenance.source, sample.provenance.scope, sample.provenance.quality) == (
        "nvml.counter",
        "gpu",
        "measured",
    )
    assert found[HW_POWER].value == pytest.approx(100.0)


def test_power_is_instant_where_the_board_has_it_and_says_so() -> None:
    burst = [(0.0, 50.0), (9.95, 500.0)]
    for settings, source, watts in (({}, "nvml.instant", 500.0), ({"gpu_scope": 0}, "nvml.power", 72.5)):
        with emulated(Board("GPU-a", burst, settings=settings)) as clock, probing() as probe:
            clock.set(10.0)
            power = next(sample for sample in probe.read() if sample.instrument is HW_POWER)
        assert power.provenance is not None
        assert (power.provenance.source, power.value) == (source, pytest.approx(watts))


def test_a_counter_that_goes_back_begins_anew() -> None:
    with emulated(Board("GPU-a", FLAT, resets_s=[3.0], settings=GIGA)) as clock, probing() as probe:
        found = []
        for now_s in (1.0, 2.0, 4.0, 5.0):
            clock.set(now_s)
            found.append(energy(probe.read())["GPU-a"])
    assert [sample.value for sample in found] == [5_100.0, 5_200.0, 100.0, 200.0]
    assert found[0].start_ns == found[1].start_ns
    assert found[2].start_ns == found[2].time_ns == found[3].start_ns


def test_one_wrong_reading_of_zero_does_not_become_all_that_was_ever_counted() -> None:
    board = Board("GPU-a", FLAT, says=[(1.5, 2.5, 0.0)], settings={"base_mj": 1e9})
    with emulated(board) as clock, probing(most_w=10_000.0) as probe:
        found = []
        for now_s in (0.0, 1.0, 2.0, 3.0, 4.0):
            clock.set(now_s)
            found.append(energy(probe.read())["GPU-a"])
    assert [sample.value for sample in found] == [1_000_000.0, 1_000_100.0, 0.0, 1_000_300.0, 1_000_400.0]
    starts = [sample.start_ns for sample in found]
    assert starts[0] == starts[1]
    assert starts[3] == starts[4] == found[3].time_ns
    assert len({starts[0], starts[2], starts[3]}) == 3  # no series has both the zero and what came after it


def test_a_board_without_a_counter_is_integrated_and_says_so(tmp_path: Path) -> None:
    steps, period_s = square(50.0, 250.0, 0.6)
    settings = {"arch": 4, "counter": 0, "gpu_scope": 0, "usage_average": 0, "period_ms": 20, "window_ms": 20}
    board = Board("GPU-p40", steps, period_s, name="Tesla P40", settings=settings)
    with emulated(board) as clock, probing() as probe:
        began_s = time.monotonic()
        first = energy(probe.read())["GPU-p40"]
        while time.monotonic() - began_s < 3.0:
            clock.set(time.monotonic() - began_s)
            time.sleep(0.005)
        last = energy(probe.read())["GPU-p40"]
    assert first.provenance is not None
    assert first.provenance.source == "nvml.power"
    assert first.start_ns == last.start_ns
    mean_w = (last.value - first.value) / ((last.time_ns - first.time_ns) * 1e-9)
    assert mean_w == pytest.approx(150.0, rel=0.2)  # two waves a second and a poll every 50 ms, on a busy machine


def test_boards_are_told_apart_by_uuid() -> None:
    boards = [Board(f"GPU-{number}", [(0.0, 100.0 * number)]) for number in (1, 2, 3)]
    with emulated(*boards) as clock, probing() as probe:
        clock.set(10.0)
        found = energy(probe.read())
    assert {device: sample.value for device, sample in found.items()} == {
        "GPU-1": 1_000.0,
        "GPU-2": 2_000.0,
        "GPU-3": 3_000.0,
    }


def test_under_mig_energy_is_the_boards_and_counts_once() -> None:
    with emulated(Board("GPU-mig", FLAT, name="NVIDIA A30", settings={"mig": 4})) as clock, probing() as probe:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        instances = [pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index) for index in range(4)]
        clock.set(10.0)
        repeated = [pynvml.nvmlDeviceGetTotalEnergyConsumption(instance) for instance in instances]
        samples = probe.read()
        assert "MIG is on" in probe.description
    assert sum(repeated) == 4_000_000  # the trap: every instance repeats the board's counter
    assert {device: sample.value for device, sample in energy(samples).items()} == {"GPU-mig": 1_000.0}
    assert GPU_UTILIZATION.name not in by_name(samples)
    assert by_name(samples)[GPU_MEMORY_USAGE.name] > 0


@pytest.mark.parametrize("settings", [{"c2c": 1, "gpu_scope": 0, "module_scope": 1}, {"gpu_scope": 0}])
def test_a_grace_superchip_counts_its_module(settings: dict[str, float]) -> None:
    with emulated(Board("GPU-a", FLAT, name="NVIDIA GH200 480GB", settings=settings)), probing() as probe:
        assert probe.scopes == {"module"}
        scopes = {sample.provenance.scope for sample in probe.read() if sample.provenance}
    assert scopes == {"module"}


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_TIMEOUT, pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_NO_PERMISSION]
)
def test_a_reading_that_fails_is_left_out_and_the_series_goes_on(code: int, caplog: pytest.LogCaptureFixture) -> None:
    with emulated(failing("energy", code, 1.5, 2.5)) as clock, probing() as probe:
        values, starts = [], set()
        for now_s in (1.0, 2.0, 3.0):
            clock.set(now_s)
            found = energy(probe.read())
            values.append(found["GPU-a"].value if found else None)
            starts |= {sample.start_ns for sample in found.values()}
    assert values == [5_100.0, None, 5_300.0]
    assert len(starts) == 1
    assert caplog.text.count("hw.energy") <= 1


def test_a_counter_that_may_not_be_read_names_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with emulated(failing("energy", pynvml.NVML_ERROR_NO_PERMISSION)), probing() as probe:
        assert energy(probe.read()) == {}
        assert by_name(probe.read())["hw.power"] == pytest.approx(100.0)
        assert "NVIDIA_DRIVER_CAPABILITIES" in probe.description
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1


def test_a_lost_board_is_left_out_and_begins_anew_when_it_is_back() -> None:
    lost = Board("GPU-a", FLAT, failures=[Failure("any", 1.5, 3.5, pynvml.NVML_ERROR_GPU_IS_LOST)], settings=GIGA)
    with emulated(lost, Board("GPU-b", FLAT)) as clock, probing() as probe:
        found = []
        for now_s in (1.0, 2.0, 3.0, 4.0, 5.0):
            clock.set(now_s)
            found.append(energy(probe.read()))
    assert [set(one) for one in found] == [
        {"GPU-a", "GPU-b"},
        {"GPU-b"},
        {"GPU-b"},
        {"GPU-a", "GPU-b"},
        {"GPU-a", "GPU-b"},
    ]
    assert found[3]["GPU-a"].value == 5_400.0
    assert found[0]["GPU-a"].start_ns != found[3]["GPU-a"].start_ns == found[4]["GPU-a"].start_ns
    assert found[0]["GPU-b"].start_ns == found[4]["GPU-b"].start_ns


@pytest.mark.parametrize("kind", ["utilization", "memory"])
def test_a_board_that_refuses_a_question_beside_its_energy_is_not_lost(kind: str) -> None:
    """An invalid argument may be a void handle, but the energy was read with it just before."""
    with emulated(failing(kind, pynvml.NVML_ERROR_INVALID_ARGUMENT)) as clock, probing() as probe:
        found = []
        for now_s in (1.0, 2.0, 3.0):
            clock.set(now_s)
            found.append(energy(probe.read())["GPU-a"])
    assert [sample.value for sample in found] == [5_100.0, 5_200.0, 5_300.0]
    assert len({sample.start_ns for sample in found}) == 1


@pytest.mark.parametrize("noticed_s", [2.5, 10.0])  # while there is no driver, and long after
def test_a_driver_reload_is_a_gap_and_a_new_series(noticed_s: float) -> None:
    with emulated(Board("GPU-a", FLAT), reloads_s=[(2.0, 3.0)]) as clock, probing() as probe:
        found = []
        for now_s in (1.0, noticed_s, 11.0, 12.0):
            clock.set(now_s)
            found.append(energy(probe.read()).get("GPU-a"))
    before, noticed, first, second = found
    assert before is not None
    assert noticed is None
    assert first is not None
    assert second is not None
    assert (before.value, first.value, second.value) == (100.0, 800.0, 900.0)  # it did not go back, and is another
    assert before.start_ns != first.start_ns == second.start_ns


def test_no_permission_for_anything_is_unavailable() -> None:
    with (
        emulated(failing("handle", pynvml.NVML_ERROR_NO_PERMISSION)),
        pytest.raises(ProbeUnavailable, match="no GPU that answers"),
        probing(),
    ):
        pass


CHILD = """
from collector.probes.nvml import Probe
from collector.sampling.sample import ProbeContext
probe = Probe(ProbeContext())
print(probe.description)
for sample in probe.read():
    print(sample.instrument.name, sample.value)
"""


def test_another_process_finds_the_emulator_and_measures_its_refresh_period(tmp_path: Path) -> None:
    (tmp_path / library().name).symlink_to(library())
    played = play(tmp_path, [Board("GPU-a", [(0.0, 300.0)], settings={"refresh_ms": 50, "cost_us": 500})])
    ended = subprocess.run(
        [sys.executable, "-c", CHILD], env={**os.environ, **played.environment}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    described, *rows = ended.stdout.splitlines()
    values = {name: float(value) for name, value in (row.split() for row in rows)}
    assert "ms a reading" in described
    assert 0.04 < values[HW_ENERGY_REFRESH.name] < 0.15  # 50 ms; a busy machine may miss a step
    assert values["tokenjoule.hw.energy.read_time"] >= 0.0005
