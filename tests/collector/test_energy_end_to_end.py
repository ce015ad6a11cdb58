"""A collector in a process of its own, energy from the emulator or from engines' work, joules per request in the store.

The emulator stands for hardware in tests only: what it gives is called `measured`, as on a GPU.
"""

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bench.nvml.curve import Board
from bench.nvml.emulator import Played, play
from conventions import attributes as names
from conventions import instruments
from tests.collector import payloads
from tests.collector.emulated_nvml import library
from tests.collector.running_collector import RunningCollector, Start

SAMPLER = '[collector.sampler]\ninterval_s = 0.5\nprobes = ["{probe}"]\n[collector.settle]\nwatermark_s = 1.0\n'
BOARD = Board("GPU-e2e", [(0.0, 250.0), (4.0, 60.0)], 7.0, settings={"base_mj": 1e9})
SECONDS = 9
STEPS_PER_S, TOKENS_PER_S = 100, 200


def work(at_ns: int, seconds: float, start_ns: int) -> ExportMetricsServiceRequest:
    """One export of an engine's counters, ``seconds`` after it began."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(payloads.pairs({names.SERVICE_NAME: "engine", names.ENGINE: "scout"}))
    scope = group.scope_metrics.add()
    totals = {
        instruments.ENGINE_STEPS: STEPS_PER_S * seconds,
        instruments.ENGINE_RUNNING_STEPS: STEPS_PER_S * seconds,
        instruments.ENGINE_PREFILL_TOKENS: 10 * seconds,
        instruments.ENGINE_DECODE_TOKENS: TOKENS_PER_S * seconds,
    }
    for instrument, total in totals.items():
        metric = scope.metrics.add()
        metric.name, metric.unit, metric.sum.is_monotonic = instrument.name, instrument.unit, True
        metric.sum.aggregation_temporality = 2
        point = metric.sum.data_points.add()
        point.start_time_unix_nano, point.time_unix_nano, point.as_int = start_ns, at_ns, round(total)
    return request


def run_engine(collector: RunningCollector) -> None:
    """Counters once a second, and one request a second that was answered by the engine."""
    start_ns = time.time_ns()
    for second in range(SECONDS):
        now_ns = time.time_ns()
        assert collector.post("/v1/metrics", work(now_ns, (now_ns - start_ns) / 1e9, start_ns)).status_code == 200
        assert collector.post("/v1/traces", engine_span(second, now_ns)).status_code == 200
        time.sleep(1.0)


def engine_span(number: int, ended_ns: int) -> Any:
    """A request of 0.9 s that ended now, as our engine sends it."""
    attributes = {
        names.ROLE: "engine",
        names.ENGINE: "scout",
        names.PREFILL_S: 0.05,
        names.QUEUE_S: 0.0,
        names.DECODE_S: 0.85,
        names.INPUT_TOKENS: 10,
        names.OUTPUT_TOKENS: 181,
        names.FINISH_REASONS: ["stop"],
    }
    made = payloads.span(
        number + 1, name="llm_request", attributes=attributes, start_ns=ended_ns - 900_000_000, end_ns=ended_ns
    )
    return payloads.traces([made])


@pytest.fixture
def emulated_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    (tmp_path / library().name).symlink_to(library())
    played = play(tmp_path, [BOARD])
    for name, value in played.environment.items():
        monkeypatch.setenv(name, value)
    return played


def wait_for_energy_until(collector: RunningCollector, then_ns: int) -> None:
    """The simulated device is shown a little late."""
    deadline_s = time.monotonic() + 60
    sql = "SELECT coalesce(max(time_ns), 0) FROM metric_points WHERE metric = 'hw.energy'"
    while collector.query(sql)[0][0] < then_ns:
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def intervals(collector: RunningCollector) -> list[list[float]]:
    """Start and end (UTC seconds), joules, and the joules that are accounted for, of the device's known intervals."""
    assert collector.settle() == 200
    return collector.query(
        "SELECT epoch(started_at), epoch(ended_at), sum(total_j), sum(attributed_j + idle_j + unattributed_j)"
        " FROM energy_intervals WHERE total_j IS NOT NULL GROUP BY started_at, ended_at ORDER BY started_at"
    )


def test_measured_joules_reach_requests_and_close_against_the_board(emulated_gpu: Played, start: Start) -> None:
    collector = start(sampler=SAMPLER.format(probe="nvml"))
    run_engine(collector)
    known = intervals(collector)
    assert len(known) >= 3
    offset_s = time.time() - emulated_gpu.now_s()
    for started_s, ended_s, total_j, accounted_j in known:
        true_j = BOARD.energy_j(started_s - offset_s, ended_s - offset_s)
        assert total_j == pytest.approx(true_j, abs=BOARD.peak_w * 0.25)  # refresh, and a sampler that was late
        assert accounted_j == pytest.approx(total_j)
    labels = collector.query(
        "SELECT DISTINCT device, source, scope, quality FROM metric_points WHERE metric = 'hw.energy'"
    )
    assert labels == [["GPU-e2e", "nvml.counter", "gpu", "measured"]]
    requests = collector.query("SELECT energy_j, energy_quality FROM requests WHERE energy_j > 0")
    assert len(requests) >= 4
    assert {quality for _, quality in requests} == {"measured"}
    costs = collector.http.get("/metrics").text
    assert 'tokenjoule_collector_sampling_cpu_seconds_total{source="nvml"}' in costs


def test_simulated_joules_say_so_in_every_row(start: Start) -> None:
    collector = start(sampler=SAMPLER.format(probe="simulated"))
    run_engine(collector)
    wait_for_energy_until(collector, time.time_ns())
    assert intervals(collector)
    qualities = collector.query("SELECT DISTINCT source, quality FROM metric_points WHERE metric = 'hw.energy'")
    assert qualities == [["simulated", "simulated"]]
    requests = collector.query("SELECT energy_j, energy_quality FROM requests WHERE energy_j > 0")
    assert requests
    assert {quality for _, quality in requests} == {"simulated"}
    busiest = max(total_j / (ended_s - started_s) for started_s, ended_s, total_j, _ in intervals(collector))
    full_w = 80 + STEPS_PER_S * 3.1 + TOKENS_PER_S * 0.068 + 10 * 0.012
    assert busiest == pytest.approx(full_w, rel=0.1)
