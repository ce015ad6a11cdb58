"""Probes that make joules of what others send: power without energy, differences of energy, and engines' work."""

import time
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoding import columns
from collector.ingesting.tap import Tap
from collector.probes import otlp, simulated
from collector.sampling.sample import ProbeContext, ProbeUnavailable, Sample
from collector.sampling.sampler import SERVICE
from conventions import instruments
from conventions.instruments import HW_ENERGY, HW_POWER

START_NS = 1_795_000_000_000_000_000


class Sent:
    """A tap that tests fill with rows of ``metric_points``."""

    def __init__(self) -> None:
        self.taps: list[Tap] = []
        self.context = ProbeContext(open_tap=self.open)

    def open(self, metrics: frozenset[str]) -> Tap:
        self.taps.append(Tap(metrics))
        return self.taps[-1]

    def send(self, metric: str, at_s: float, value: float, **more: Any) -> None:
        row = {"metric": metric, "time_ns": START_NS + round(at_s * 1e9), "value": value, "received_ns": START_NS}
        given = {"device": "GPU-x", "device_type": "gpu", "service": "someone", "kind": "gauge", "scope": "gpu"}
        self.taps[0].observe(columns.table("metric_points", [{**given, **row, **more}]))


def values(samples: list[Sample]) -> list[tuple[float, float]]:
    return [((sample.time_ns - START_NS) / 1e9, sample.value) for sample in samples]


def test_power_without_energy_is_integrated_at_the_senders_times_and_labelled() -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s, watts in ((0, 100.0), (10, 300.0)):
        sent.send(HW_POWER.name, at_s, watts, quality="measured", resource={"host.name": "node7"})
    assert probe.read() == []  # it may still send energy
    sent.send(HW_POWER.name, 20, 300.0, quality="measured", resource={"host.name": "node7"})
    samples = probe.read()
    assert values(samples) == [(0.0, 0.0), (10.0, 2_000.0), (20.0, 5_000.0)]
    assert {sample.start_ns for sample in samples} == {START_NS}
    last = samples[-1]
    assert last.provenance is not None
    assert (last.provenance.source, last.provenance.scope, last.provenance.quality) == (
        "otlp.power",
        "gpu",
        "estimated",
    )
    assert last.host == "node7"


def test_a_device_that_sends_energy_is_left_alone() -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s in range(5):
        sent.send(HW_POWER.name, at_s, 100.0)
        sent.send(HW_ENERGY.name, at_s, 100.0 * at_s, kind="sum", temporality="cumulative")
    assert probe.read() == []
    sent.send(HW_POWER.name, 6, 100.0)
    assert probe.read() == []


def test_our_own_readings_and_a_second_service_are_left_out() -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s in range(4):
        sent.send(HW_POWER.name, at_s, 100.0, device="GPU-ours", service=SERVICE)
        sent.send(HW_POWER.name, at_s, 100.0)
        sent.send(HW_POWER.name, at_s + 0.5, 900.0, service="another")
    assert values(probe.read())[-1] == (3.0, 300.0)


def test_a_hole_begins_a_new_series_and_what_came_twice_counts_once() -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s in (0, 1, 2, 2, 1, 60, 61):
        sent.send(HW_POWER.name, at_s, 50.0)
        samples = probe.read()
    assert values(samples) == [(61.0, 50.0)]
    assert samples[0].start_ns == START_NS + 60_000_000_000


def test_differences_of_energy_are_summed_and_stay_measured() -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s in (10, 20, 20, 30):
        start_ns = START_NS + (at_s - 10) * 1_000_000_000
        sent.send(HW_ENERGY.name, at_s, 7.0, kind="sum", temporality="delta", start_ns=start_ns, quality="measured")
    samples = probe.read()
    assert values(samples) == [(0.0, 0.0), (10.0, 7.0), (20.0, 14.0), (30.0, 21.0)]
    assert samples[0].provenance is not None
    assert (samples[0].provenance.source, samples[0].provenance.quality) == ("otlp", "measured")


def test_a_difference_that_was_lost_is_a_gap_and_not_nothing() -> None:
    """Of three exports of ten seconds the second is lost: what it said is not known, and is not 0 J."""
    sent = Sent()
    probe = otlp.Probe(sent.context)
    for at_s in (10, 30):
        start_ns = START_NS + (at_s - 10) * 1_000_000_000
        sent.send(HW_ENERGY.name, at_s, 700.0, kind="sum", temporality="delta", start_ns=start_ns)
    samples = probe.read()
    assert values(samples) == [(0.0, 0.0), (10.0, 700.0), (20.0, 0.0), (30.0, 700.0)]
    assert [(sample.start_ns or 0) - START_NS for sample in samples] == [0, 0, 20_000_000_000, 20_000_000_000]


@given(st.lists(st.tuples(st.floats(0.1, 4.0), st.floats(0.0, 1e3)), min_size=4, max_size=30))
def test_integrated_power_never_falls_and_lies_between_its_extremes(steps: list[tuple[float, float]]) -> None:
    sent = Sent()
    probe = otlp.Probe(sent.context)
    at_s = 0.0
    for length_s, watts in steps:
        at_s += length_s
        sent.send(HW_POWER.name, at_s, watts)
    found = values(probe.read())
    assert [joules for _, joules in found] == sorted(joules for _, joules in found)
    elapsed_s = found[-1][0] - found[0][0]
    watts_sent = [watts for _, watts in steps]
    slack = 1e-6 * max(watts_sent) * elapsed_s + 1e-6
    assert min(watts_sent) * elapsed_s - slack <= found[-1][1] <= max(watts_sent) * elapsed_s + slack


@pytest.mark.parametrize("decode", [instruments.ENGINE_DECODE_TOKENS, instruments.ENGINE_GENERATED_TOKENS])
def test_simulated_joules_follow_the_stated_model(
    decode: instruments.Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent()
    now_ns = [START_NS]
    monkeypatch.setattr(time, "time_ns", lambda: now_ns[0])
    probe = simulated.Probe(sent.context)
    work = {
        instruments.ENGINE_STEPS.name: 100.0,
        instruments.ENGINE_PREFILL_TOKENS.name: 1000.0,
        decode.name: 400.0,
        instruments.ENGINE_DECODE_CONTEXT.name: 10_000.0,
    }
    for at_s in (0.0, 5.0, 10.0):
        for metric, total in work.items():
            sent.send(metric, at_s, 7.0 + total * at_s / 10, engine="scout", kind="sum", start_ns=START_NS, device=None)
    assert probe.read() == []  # it is shown a little late
    now_ns[0] += round((10.0 + simulated.LAG_S) * 1e9)
    energy, idle = probe.read()
    active_j = 100 * 3.1 + 1000 * 0.012 + 400 * 0.068 + 10_000 * 2e-5
    assert energy.value == pytest.approx(10 * 80.0 + active_j)
    assert idle.value == 80.0
    assert energy.provenance is not None
    assert (energy.provenance.source, energy.provenance.quality) == ("simulated", "simulated")


def test_a_restarted_engine_uses_no_negative_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent()
    now_ns = [START_NS]
    monkeypatch.setattr(time, "time_ns", lambda: now_ns[0])
    probe = simulated.Probe(sent.context)
    for at_s, steps, started_s in ((0, 10, 0), (1, 20, 0), (2, 3, 2), (3, 5, 2)):
        start_ns = START_NS + started_s * 1_000_000_000
        sent.send(
            instruments.ENGINE_STEPS.name, at_s, float(steps), engine="e", kind="sum", start_ns=start_ns, device=None
        )
    now_ns[0] += round((3.0 + simulated.LAG_S) * 1e9)
    assert probe.read()[0].value == pytest.approx(3 * 80.0 + (10 + 2) * 3.1)


def test_the_simulated_gpu_stands_back_where_one_is_measured() -> None:
    with pytest.raises(ProbeUnavailable, match="measured"):
        simulated.Probe(replace(Sent().context, covered=frozenset({"gpu"})))


def test_a_tap_takes_its_metrics_only() -> None:
    tap = Tap(frozenset({"a"}))
    rows = [{"metric": name, "time_ns": 1, "value": 1.0, "received_ns": 1} for name in ("a", "b")]
    tap.observe(columns.table("metric_points", rows))
    tap.observe(pa.table(columns.table("metric_points", rows[1:])))
    assert [point.metric for point in tap.take()] == ["a"]
    assert tap.take() == []
