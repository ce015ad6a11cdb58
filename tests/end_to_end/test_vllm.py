"""Stock vLLM behind the gateway in place of `expert`: every request counted once, with its joules."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Running, chat, start

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
REQUESTS = 50
OVER_GRPC = {
    "collector.grpc": {"port": 4317},
    "serving.vllm.expert.otlp_endpoint": "http://127.0.0.1:4317",
    "serving.vllm.expert.environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
}


@pytest.fixture(scope="module", params=[{}, OVER_GRPC], ids=["http", "grpc"])
def vllm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """config/vllm.toml: scout is ours, expert is stock vLLM from the interpreter in TOKENJOULE_VLLM_PYTHON."""
    overrides: dict[str, Any] = request.param
    started = start(ROOT / "config" / "vllm.toml", tmp_path_factory.mktemp("vllm"), overrides)
    yield started
    started.processes.stop()


def test_fifty_requests_through_gateway_and_vllm_count_once_and_carry_energy(vllm: Running) -> None:
    time.sleep(8)  # idle power is measured with the models resident and nothing running
    expected = 0
    for number in range(REQUESTS):
        body = {
            "model": "expert",
            "messages": [{"role": "user", "content": f"Sort from low to high: {number % 9} 7 3 1"}],
            "max_tokens": 16 + number % 32,
            "ignore_eos": True,
            "temperature": 0,
        }
        expected += chat(vllm.urls["gateway"], body)["usage"]["completion_tokens"]
    time.sleep(8)  # vLLM's exporter sends every five seconds
    vllm.settle()
    rows = vllm.query("SELECT * FROM requests ORDER BY started_at")
    roles = {row["role"]: row["n"] for row in vllm.query("SELECT role, count(*) AS n FROM spans GROUP BY 1")}
    assert roles["gateway"] == roles["attempt"] == roles["engine"] == REQUESTS  # both layers reported every one
    assert len(rows) == REQUESTS
    assert all(row["success"] for row in rows)
    assert sum(row["output_tokens"] for row in rows) == expected
    assert {row["tier"] for row in rows} == {"expert"}
    assert {row["first_token_origin"] for row in rows} == {"engine"}
    free = [row for row in rows if row["energy_j"] is None or row["energy_j"] <= 0]
    assert not free, f"{free} in {vllm.query('SELECT * FROM energy_intervals ORDER BY started_at')}"
    assert {row["energy_quality"] for row in rows} <= {"measured", "estimated"}


def test_the_balance_closes_and_vllms_own_counters_were_used(vllm: Running) -> None:
    sums = vllm.query(
        "SELECT sum(total_j) t, sum(attributed_j) a, sum(idle_j) i, sum(unattributed_j) u FROM energy_intervals"
    )[0]
    assert abs(sums["a"] + sums["i"] + sums["u"] - sums["t"]) / sums["t"] < 1e-9
    steps = vllm.query(
        "SELECT max(value) AS steps FROM metric_points WHERE metric = 'tokenjoule.engine.steps' AND engine = 'expert'"
    )[0]["steps"]
    assert steps > REQUESTS
