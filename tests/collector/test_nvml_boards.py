"""What the NVML probe makes of boards: a stand-in for the driver behind the real probe."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from collector.probes import nvml
from collector.sample import ProbeContext
from conventions.instruments import GPU_UTILIZATION, HW_ENERGY, HW_POWER


class Driver:
    """One board whose answers a test can change."""

    def __init__(self, name: str = "NVIDIA H200", energy_mj: int | None = 5_000) -> None:
        self.name = name
        self.energy_mj = energy_mj
        self.power_mw = 100_000

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: dict[str, Any] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: 1,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetName": lambda _: self.name,
            "nvmlDeviceGetUUID": lambda _: "GPU-abc",
            "nvmlDeviceGetTotalEnergyConsumption": self.energy,
            "nvmlDeviceGetPowerUsage": lambda _: self.power_mw,
            "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=40),
            "nvmlDeviceGetMemoryInfo": self.unsupported,
        }
        for name, answer in answers.items():
            if not hasattr(answer, "__name__"):
                answer.__name__ = name
            monkeypatch.setattr(pynvml, name, answer)

    def energy(self, _handle: int) -> int:
        if self.energy_mj is None:
            raise pynvml.NVMLError_NotSupported()
        return self.energy_mj

    def unsupported(self, _handle: int) -> Any:
        raise pynvml.NVMLError_NotSupported()


def test_the_counter_is_the_total_in_joules_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver().install(monkeypatch)
    samples = {sample.instrument: sample for sample in nvml.Probe(ProbeContext()).read()}
    assert set(samples) == {HW_ENERGY, HW_POWER, GPU_UTILIZATION}  # memory is not answered: left out, not zero
    energy = samples[HW_ENERGY]
    assert energy.device is not None
    assert energy.provenance is not None
    assert (energy.device.id, energy.value, energy.provenance.source) == ("GPU-abc", 5.0, "nvml.counter")
    assert samples[HW_POWER].value == 100.0
    assert samples[GPU_UTILIZATION].value == 0.4


def test_a_counter_that_goes_back_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    driver.install(monkeypatch)
    probe = nvml.Probe(ProbeContext())
    first, second = probe.read()[0], probe.read()[0]
    driver.energy_mj = 10
    third = probe.read()[0]
    assert first.start_ns == second.start_ns
    assert third.start_ns == third.time_ns > (second.start_ns or 0)


def test_a_board_without_a_counter_is_integrated_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver("Tesla P40", None)
    driver.install(monkeypatch)
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(nvml.time, "monotonic", lambda: next(clock))
    probe = nvml.Probe(ProbeContext())
    assert probe.read()[0].value == 0.0
    driver.power_mw = 200_000
    sample = probe.read()[0]
    assert sample.value == pytest.approx(300.0)
    assert sample.provenance is not None
    assert sample.provenance.source == "nvml.power"


def test_a_grace_superchip_counts_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver("NVIDIA GH200 480GB").install(monkeypatch)
    assert nvml.Probe(ProbeContext()).scopes == {"module"}
