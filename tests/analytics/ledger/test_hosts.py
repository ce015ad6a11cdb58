"""Devices of several hosts under one id: ``hw.id`` is unique on its host only."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.attribution import attribute
from analytics.ledger.inputs import LedgerInputs
from analytics.ledger.simulation import Simulated
from tests.analytics.ledger.test_groups import ENERGY, replaced, run


def on_host(simulated: Simulated, host: str) -> pa.Table:
    return replaced(simulated.points, "host", host)


def test_two_hosts_with_one_device_id_are_two_devices() -> None:
    """Both call their board gpu0; mixed into one series it would fall at every second reading."""
    one, other = run(engine="one", seconds=60.0), run(engine="other", seed=2, seconds=60.0)
    points = pa.concat_tables([on_host(one, "a"), on_host(other, "b")])
    attempts = pa.concat_tables(
        [
            one.attempts,
            replaced(other.attempts, "request_id", [f"x{n}" for n in other.attempts["request_id"].to_pylist()]),
        ]
    )
    window = (one.window_ns[0], max(one.window_ns[1], other.window_ns[1]))
    result = attribute(LedgerInputs(points, attempts, window))
    assert set(result.intervals["device"].to_pylist()) == {"gpu0@a", "gpu0@b"}
    assert "gap" not in result.intervals["unattributed_reason"].to_pylist()
    for simulated, device in ((one, "gpu0@a"), (other, "gpu0@b")):
        rows = result.attempt_energy.filter(pc.equal(result.attempt_energy["device"], device))
        assert pc.sum(rows["joules"]).as_py() == pytest.approx(simulated.true_j.sum(), rel=0.02)
        whole = result.intervals.filter(pc.equal(result.intervals["device"], device))
        meter = simulated.points.filter(pc.equal(simulated.points["metric"], ENERGY))["value"]
        assert pc.sum(whole["total_j"]).as_py() == pytest.approx(pc.max(meter).as_py(), rel=0.02)


def test_one_host_keeps_its_ids() -> None:
    simulated = run(seconds=20.0)
    result = attribute(LedgerInputs(on_host(simulated, "a"), simulated.attempts, simulated.window_ns))
    assert set(result.intervals["device"].to_pylist()) == {"gpu0"}
