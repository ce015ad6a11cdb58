"""What the AMD probe makes of boards: a stand-in with the interface of ``amdsmi`` 7.0. Never tried on hardware."""

import sys
import time
from types import ModuleType
from typing import Any

import pytest

from collector.probes import amdsmi
from collector.sampling.sample import ProbeContext, ProbeUnavailable
from conventions.instruments import GPU_MEMORY_USAGE, GPU_UTILIZATION, HW_ENERGY, HW_POWER

RESOLUTION_UJ = 15.3  # of MI200 and MI300


class AmdSmiException(Exception):
    pass


class Gpu:
    """One board that draws ``watts``; its counter counts ``counted`` times that."""

    def __init__(self, uuid: str, watts: float | str = 200.0, counted: float = 1.0) -> None:
        self.uuid, self.watts, self.counted = uuid, watts, counted
        self.began_s = time.monotonic()
        self.base_j = 5_000.0

    def joules(self) -> float:
        watts = self.watts if isinstance(self.watts, float) else 0.0
        return self.base_j + self.counted * watts * (time.monotonic() - self.began_s)


def amd(*gpus: Gpu) -> ModuleType:
    module = ModuleType("amdsmi")

    def energy_count(gpu: Gpu) -> dict[str, Any]:
        if gpu.counted < 0:
            raise AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")
        accumulator = round(gpu.joules() * 1e6 / RESOLUTION_UJ)
        return {"energy_accumulator": accumulator, "counter_resolution": RESOLUTION_UJ, "timestamp": time.time_ns()}

    answers: dict[str, Any] = {
        "AmdSmiException": AmdSmiException,
        "amdsmi_init": lambda: None,
        "amdsmi_shut_down": lambda: None,
        "amdsmi_get_processor_handles": lambda: list(gpus),
        "amdsmi_get_gpu_device_uuid": lambda gpu: gpu.uuid,
        "amdsmi_get_gpu_asic_info": lambda _: {"market_name": "AMD Instinct MI300X"},
        "amdsmi_get_energy_count": energy_count,
        "amdsmi_get_power_info": lambda gpu: {"current_socket_power": gpu.watts, "average_socket_power": "N/A"},
        "amdsmi_get_gpu_activity": lambda _: {"gfx_activity": 70, "umc_activity": 5, "mm_activity": "N/A"},
        "amdsmi_get_gpu_vram_usage": lambda _: {"vram_total": 196_592, "vram_used": 1024},
    }
    for name, answer in answers.items():
        setattr(module, name, answer)
    return module


def probe(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> amdsmi.Probe:
    monkeypatch.setitem(sys.modules, "amdsmi", amd(*gpus))
    return amdsmi.Probe(ProbeContext(), watched_s=0.05)


def test_the_accumulator_times_its_resolution_is_joules_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("aa-1")
    opened = probe(monkeypatch, gpu)
    found = {sample.instrument: sample for sample in opened.read()}
    opened.close()
    energy = found[HW_ENERGY]
    assert energy.device is not None
    assert energy.provenance is not None
    assert (energy.device.id, energy.provenance.source, energy.provenance.quality) == ("aa-1", "amdsmi", "measured")
    assert 5_000.0 < energy.value <= gpu.joules()
    assert (found[HW_POWER].value, found[GPU_UTILIZATION].value) == (200.0, 0.7)
    assert found[GPU_MEMORY_USAGE].value == 1024 * 1_048_576


@pytest.mark.parametrize(
    ("counted", "why"), [(0.0, "stood still"), (9.0, "times its power"), (-1.0, "does not answer")]
)
def test_a_counter_that_is_not_believed_is_replaced_by_power_and_says_so(
    counted: float, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = probe(monkeypatch, Gpu("aa-1", counted=counted))
    energy = next(sample for sample in opened.read() if sample.instrument is HW_ENERGY)
    opened.close()
    assert energy.provenance is not None
    assert energy.provenance.source == "amdsmi.power"
    assert why in caplog.text


def test_a_die_that_shows_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = probe(monkeypatch, Gpu("both"), Gpu("twin", watts="N/A", counted=0.0))
    devices = {sample.device.id for sample in opened.read() if sample.device}
    opened.close()
    assert devices == {"both"}


def test_an_accumulator_that_goes_back_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("aa-1")
    opened = probe(monkeypatch, gpu)
    first = opened.read()[0]
    gpu.base_j = 0.0
    second = opened.read()[0]
    opened.close()
    assert second.value < first.value
    assert second.start_ns == second.time_ns


def test_no_gpu_and_no_package_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProbeUnavailable, match="no GPU"):
        probe(monkeypatch)
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(ProbeUnavailable, match="ROCm"):
        amdsmi.Probe(ProbeContext())
