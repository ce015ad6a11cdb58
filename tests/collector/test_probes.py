"""Probes read joules where there are any, and say in one line why where there are none."""

import logging
import os
import time
from pathlib import Path

import pynvml
import pytest

from collector.probes import cpu_model, nvml, rapl, replay
from collector.sampling.hardware import load_probes, open_probes
from collector.sampling.sample import ProbeContext, ProbeUnavailable
from conventions.errors import PluginError
from conventions.instruments import HW_ENERGY, HW_IDLE_POWER, HW_POWER


def zone(root: Path, name: str, label: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def test_missing_hardware_is_one_line_each_and_not_an_error(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO):
        opened = open_probes(load_probes(["replay"]), None)
    assert opened == []
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert "replay" in caplog.text


def test_an_unknown_probe_names_the_choices() -> None:
    with pytest.raises(PluginError, match="amdsmi, cpu_model, nvml, otlp, rapl, replay, simulated"):
        load_probes(["nvlm"])


def test_nvml_without_a_driver_is_unavailable_through_the_real_binding() -> None:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        with pytest.raises(ProbeUnavailable, match="NVIDIA"):
            nvml.Probe(ProbeContext())
    else:
        pynvml.nvmlShutdown()
        probe = nvml.Probe(ProbeContext())
        first = [sample for sample in probe.read() if sample.instrument is HW_ENERGY]
        probe.close()
        assert first
        assert all(sample.value > 0 for sample in first)


def test_a_binding_that_is_not_nvidias_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks have fewer functions, which would fail one by one, far from their cause."""
    monkeypatch.delattr(nvml.pynvml, nvml.NVIDIAS_OWN)
    with pytest.raises(ProbeUnavailable, match="pip install --force-reinstall nvidia-ml-py"):
        nvml.Probe(ProbeContext())


def test_rapl_reads_packages_and_no_subzones(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000, 10_000_000)
    zone(tmp_path, "intel-rapl:0:0", "dram", 1)
    zone(tmp_path, "intel-rapl:1", "psys", 1)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    (package / "energy_uj").write_text("7500000")
    samples = probe.read()
    assert [(sample.device.id, sample.value) for sample in samples if sample.device] == [("cpu:0", 2.5)]
    assert samples[0].provenance == rapl.PROVENANCE


def test_rapl_wraps_at_its_range(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, 1_000_000)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    (package / "energy_uj").write_text("100000")
    assert probe.read()[0].value == pytest.approx(0.2)


def test_a_failed_rapl_reading_is_a_gap_and_not_a_wrap(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    (package / "energy_uj").write_text("")
    assert probe.read() == []
    (package / "energy_uj").write_text("950000")
    assert probe.read()[0].value == pytest.approx(0.05)


def test_a_rapl_counter_that_restarted_is_no_wrap(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 90_000_000_000, 262_143_328_850)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    (package / "energy_uj").write_text("90002000000")
    first = probe.read()[0]
    (package / "energy_uj").write_text("1000000")  # a wrap would be 172 kJ within a moment
    restarted = probe.read()[0]
    (package / "energy_uj").write_text("4000000")
    last = probe.read()[0]
    assert (first.value, restarted.value, last.value) == (2.0, 0.0, 3.0)
    assert first.start_ns != restarted.start_ns == last.start_ns


def test_rapl_readings_too_far_apart_may_hide_a_wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000, 262_143_328_850)
    now_s = [100.0]
    monkeypatch.setattr(rapl.time, "monotonic", lambda: now_s[0])
    probe = rapl.Probe(ProbeContext(), tmp_path)
    first = probe.read()[0]
    now_s[0] += 130.0
    (package / "energy_uj").write_text("9000000")
    known = probe.read()[0]
    now_s[0] += 140.0  # at 2 kW the whole range
    (package / "energy_uj").write_text("10000000")
    unknown = probe.read()[0]
    assert (known.value, known.start_ns) == (4.0, first.start_ns)
    assert (unknown.value, unknown.start_ns == first.start_ns) == (0.0, False)


def test_a_rapl_package_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-0", 1_000_000)
    zone(tmp_path, "intel-rapl:2", "package-1", 1_000_000)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    (package / "energy_uj").write_text("1500000")
    assert [(sample.device.name, sample.value) for sample in probe.read() if sample.device] == [
        ("package-0", 0.5),
        ("package-1", 0.0),
    ]


def test_dies_that_show_their_packages_counter_count_once(tmp_path: Path) -> None:
    """Some AMD machines: a zone per die, and every one reads the register of the package (codecarbon 788)."""
    zone(tmp_path, "intel-rapl:0", "package-0-die-0", 70_000_000_000, 262_143_328_850)
    zone(tmp_path, "intel-rapl:1", "package-0-die-1", 70_000_000_900, 262_143_328_850)
    zone(tmp_path, "intel-rapl:2", "package-1-die-0", 70_000_000_500, 262_143_328_850)
    probe = rapl.Probe(ProbeContext(), tmp_path)
    devices = [sample.device for sample in probe.read()]
    assert [(one.id, one.name) for one in devices if one] == [
        ("cpu:0", "package-0-die-0"),
        ("cpu:1", "package-1-die-0"),
    ]


def test_dies_with_counters_of_their_own_are_all_read(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0-die-0", 70_000_000_000, 262_143_328_850)
    zone(tmp_path, "intel-rapl:1", "package-0-die-1", 90_000_000_000, 262_143_328_850)
    assert [sample.device.id for sample in rapl.Probe(ProbeContext(), tmp_path).read() if sample.device] == [
        "cpu:0", "cpu:1",
    ]  # fmt: skip


def test_rapl_that_may_not_be_read_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").chmod(0)
    if os.geteuid() == 0:  # root reads everything: let the file refuse as it would for others
        plain = Path.read_text

        def refuse(self: Path, *args: object) -> str:
            if self.name == "energy_uj":
                raise PermissionError(13, "Permission denied")
            return plain(self)

        monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ProbeUnavailable, match="chmod a\\+r"):
        rapl.Probe(ProbeContext(), tmp_path)


def test_no_powercap_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnavailable, match="virtual machines"):
        rapl.Probe(ProbeContext(), tmp_path / "nowhere")


@pytest.mark.parametrize(("utilization", "watts"), [(0.0, 10.0), (0.5, 55.0), (1.0, 100.0), (1.7, 100.0), (-1, 10.0)])
def test_the_cpu_model_is_a_tenth_at_rest_and_the_rated_power_at_full_load(utilization: float, watts: float) -> None:
    assert cpu_model.power(100.0, utilization) == pytest.approx(watts)


def test_the_cpu_model_integrates_its_power_to_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.0, 104.0])
    busy = iter([50.0, 51.0, 55.0])
    monkeypatch.setattr(cpu_model.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(cpu_model, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(cpu_model, "rated_power", lambda _: (40.0, "CPU", "given"))
    monkeypatch.setattr(cpu_model.os, "cpu_count", lambda: 2)
    probe = cpu_model.Probe(ProbeContext())
    energy, idle, power = probe.read()  # one busy second of four: 40 W × (0.1 + 0.9 / 4) for 2 s
    assert (energy.instrument, power.instrument) == (HW_ENERGY, HW_POWER)
    assert energy.value == pytest.approx(26.0)
    assert power.value == pytest.approx(13.0)
    assert (idle.instrument, idle.value) == (HW_IDLE_POWER, pytest.approx(4.0))
    assert probe.read()[0].value == pytest.approx(26.0 + 80.0)
    assert energy.provenance is not None
    assert (energy.provenance.source, energy.provenance.quality) == ("model", "estimated")


def test_the_cpu_model_says_which_power_it_takes_and_from_where() -> None:
    probe = cpu_model.Probe(ProbeContext())
    assert "W rated (" in probe.description
    assert "CodeCarbon" in probe.description or "assumed" in probe.description


def test_the_cpu_model_stands_back_where_the_package_is_measured() -> None:
    with pytest.raises(ProbeUnavailable, match="measured"):
        cpu_model.Probe(ProbeContext(covered=frozenset({"cpu_package"})))


def test_estimating_probes_are_opened_last() -> None:
    assert [name for name, _ in load_probes(["cpu_model", "rapl", "nvml"])] == ["rapl", "nvml", "cpu_model"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_replay_in_absolute_time_gives_its_own_times(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"series{suffix}"
    if suffix == ".csv":
        file.write_text("t,device,joules,type,scope\n1795000001,g,20,gpu,gpu\n1795000000,g,10,gpu,gpu\n")
    else:
        file.write_text('{"t":1795000000,"device":"g","joules":10}\n{"t":1795000001,"device":"g","joules":20}\n')
    samples = replay.Probe(ProbeContext(replay=file)).read()
    assert [(sample.time_ns, sample.value) for sample in samples] == [
        (1_795_000_000_000_000_000, 10.0),
        (1_795_000_001_000_000_000, 20.0),
    ]
    assert {sample.start_ns for sample in samples} == {1_795_000_000_000_000_000}
    assert samples[0].provenance is not None
    assert (samples[0].provenance.source, samples[0].provenance.quality) == ("replay", "measured")


def test_a_replay_in_relative_time_is_played_as_time_goes(tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("t,device,joules,quality\n0,g,0,simulated\n0.05,g,5,simulated\n60,g,100,simulated\n")
    probe = replay.Probe(ProbeContext(replay=file))
    time.sleep(0.06)
    assert [sample.value for sample in probe.read()] == [0.0, 5.0]
    assert probe.read() == []


def test_a_replayed_counter_that_goes_back_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text("t,device,joules\n1795000000,g,50\n1795000001,g,60\n1795000002,g,5\n")
    starts = [sample.start_ns for sample in replay.Probe(ProbeContext(replay=file)).read()]
    assert starts[0] == starts[1] == 1_795_000_000_000_000_000
    assert starts[2] == 1_795_000_002_000_000_000


@pytest.mark.parametrize("text", ["t,device\n1,g\n", "t,device,joules\nx,g,1\n", "t,device,joules,type\n1,g,1,tpu\n"])
def test_a_replay_that_is_none_says_what_it_needs(tmp_path: Path, text: str) -> None:
    file = tmp_path / "series.csv"
    file.write_text(text)
    with pytest.raises(ProbeUnavailable, match="t, device, joules"):
        replay.Probe(ProbeContext(replay=file))
