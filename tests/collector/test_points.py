"""Metric data points become rows with their device, their engine and where the number comes from."""

import time
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from collector.decoding.points import PointDecoder
from tests.collector.payloads import counter, gauge

GPU = {"hw.id": "GPU-1", "hw.type": "gpu", "hw.name": "H200"}


def rows(request: Any) -> list[dict[str, Any]]:
    batch = PointDecoder().decode(request, time.time_ns())
    assert batch.refusals.count == 0, batch.refusals.reasons
    found: list[dict[str, Any]] = batch.tables["metric_points"].to_pylist()
    return found


def test_energy_of_another_emitter_is_measured_unless_it_says_otherwise() -> None:
    seen = rows(counter("hw.energy", 12.5, GPU))[0]
    assert (seen["device"], seen["device_type"], seen["value"], seen["unit"]) == ("GPU-1", "gpu", 12.5, "J")
    assert (seen["source"], seen["scope"], seen["quality"]) == ("otlp", "gpu", "measured")
    assert (seen["kind"], seen["monotonic"], seen["temporality"]) == ("sum", True, "cumulative")
    said = {"tokenjoule.energy.source": "model", "tokenjoule.energy.quality": "estimated"}
    seen = rows(counter("hw.energy", 1.0, {**GPU, **said}))[0]
    assert (seen["source"], seen["quality"]) == ("model", "estimated")


@pytest.mark.parametrize(("unit", "joules"), [("mJ", 2.0), ("J", 2_000.0), ("Wh", 7_200_000.0)])
def test_energy_enters_in_joules(unit: str, joules: float) -> None:
    seen = rows(counter("hw.energy", 2_000.0, GPU, unit))[0]
    assert (seen["value"], seen["unit"]) == (pytest.approx(joules), "J")


def test_dcgm_passed_on_by_a_collector_is_energy_of_its_board() -> None:
    board = {"UUID": "GPU-9", "gpu": "0", "modelName": "NVIDIA A30", "GPU_I_ID": "3"}
    seen = rows(counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 126_272_101_025.0, board, ""))[0]
    assert (seen["metric"], seen["unit"], seen["value"]) == ("hw.energy", "J", pytest.approx(126_272_101.025))
    assert (seen["device"], seen["device_type"], seen["scope"]) == ("GPU-9", "gpu", "gpu")
    assert (seen["source"], seen["quality"]) == ("dcgm.counter", "measured")
    assert dict(seen["attributes"])["hw.name"] == "NVIDIA A30"
    power = rows(gauge("DCGM_FI_DEV_POWER_USAGE", 29.5, board))[0]
    assert (power["metric"], power["unit"], power["value"], power["device"]) == ("hw.power", "W", 29.5, "GPU-9")


def test_openlits_older_names_are_energy_and_power() -> None:
    energy = rows(counter("hw.gpu.energy.consumed", 12.5, {"hw.id": "GPU-1", "hw.name": "H200"}))[0]
    assert (energy["metric"], energy["device"], energy["device_type"], energy["value"]) == (
        "hw.energy",
        "GPU-1",
        "gpu",
        12.5,
    )
    assert (energy["source"], energy["scope"], energy["quality"]) == ("otlp", "gpu", "measured")
    power = rows(gauge("hw.gpu.power.draw", 300.0, {"hw.id": "GPU-1"}))[0]
    assert (power["metric"], power["value"], power["source"]) == ("hw.power", 300.0, "otlp")


def test_engine_counters_carry_the_engine_of_their_resource() -> None:
    seen = rows(counter("tokenjoule.engine.steps", 3, {}, "{step}", **{"tokenjoule.engine": "scout"}))[0]
    assert (seen["engine"], seen["metric"], seen["source"]) == ("scout", "tokenjoule.engine.steps", None)


def test_histograms_keep_their_buckets() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="gen_ai.server.request.duration")
    metric.histogram.aggregation_temporality = 1
    metric.histogram.data_points.add(
        time_unix_nano=time.time_ns(), count=3, sum=0.6, explicit_bounds=[0.1, 0.5], bucket_counts=[1, 2, 0]
    )
    seen = rows(request)[0]
    assert (seen["kind"], seen["temporality"], seen["value"], seen["count"]) == ("histogram", "delta", 0.6, 3)
    assert (seen["bounds"], seen["counts"]) == ([0.1, 0.5], [1, 2, 0])


@pytest.mark.parametrize(
    "request_",
    [
        gauge("load", float("nan"), {}),
        gauge("", 1.0, {}),
        counter("hw.energy", -1.0, GPU),
    ],
)
def test_bad_points_are_refused_and_counted(request_: Any) -> None:
    batch = PointDecoder().decode(request_, time.time_ns())
    assert (batch.accepted, batch.refusals.count) == (0, 1)
    assert batch.tables == {}
