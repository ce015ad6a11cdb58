"""What real emitters sent, posted to a running collector, gives the right requests."""

from pathlib import Path

import pytest

from tests.end_to_end.conftest import Running, post

GOLDEN = Path(__file__).parents[1] / "golden"
PROTOBUF = {"content-type": "application/x-protobuf"}


def payloads(emitter: str) -> list[bytes]:
    found = sorted(GOLDEN.rglob(f"{emitter}/*.pb"))
    assert found, f"no recorded payloads of {emitter} under {GOLDEN}"
    return [path.read_bytes() for path in found]


def test_recorded_vllm_gives_six_requests_with_their_phases(collector: Running) -> None:
    for body in payloads("vllm-0.32"):
        post(f"{collector.urls['collector']}/v1/traces", body, PROTOBUF)
    collector.settle()
    rows = collector.query("SELECT * FROM requests ORDER BY started_at")
    assert [row["output_tokens"] for row in rows] == [8, 16, 24, 32, 40, 48]
    for row in rows:
        assert row["success"]
        assert row["first_token_origin"] == "engine"
        assert 0 <= row["queue_s"] < row["ttft_s"] < row["e2e_s"]
        assert row["prefill_s"] > 0
        assert row["decode_s"] > 0
        assert row["queue_s"] + row["prefill_s"] + row["decode_s"] == pytest.approx(row["e2e_s"], rel=0.25)


def test_recorded_openllmetry_gives_one_request_per_call(collector: Running) -> None:
    for body in payloads("openllmetry-0.62"):
        post(f"{collector.urls['collector']}/v1/traces", body, PROTOBUF)
    collector.settle()
    rows = collector.query("SELECT success, error_type, streamed, ttft_s FROM requests ORDER BY started_at")
    assert len(rows) == 6
    assert [row["success"] for row in rows].count(False) == 2  # the 404 and the time-out
    assert all(row["ttft_s"] is None for row in rows if not row["streamed"])


def test_the_same_payload_twice_counts_once(collector: Running) -> None:
    for body in payloads("vllm-0.32") * 2:
        post(f"{collector.urls['collector']}/v1/traces", body, PROTOBUF)
    collector.settle()
    assert collector.query("SELECT count(*) AS n FROM requests")[0]["n"] == 6
