"""A request whose time was metered in part says so in its row, whenever its spans and the readings came."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from analytics.ledger.simulation import Simulated
from collector.settling.settle import Settler
from conventions import instruments
from dashboard.views.requests import joules as shown
from store.writing import Store
from tests.collector.test_settle import SECOND, SETTINGS, points_of, simulated, spans_of
from tests.collector.test_settle_silence import fed
from tokenjoule.__main__ import app

RESTARTED_S = 45
__all__ = ["simulated"]  # the load of the other tests of settling
COVERAGE = """
    SELECT request_id, energy_j, energy_coverage, epoch_ns(started_at) AS begun, epoch_ns(ended_at) AS ended
    FROM requests ORDER BY request_id"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


def with_a_restart(simulated: Simulated) -> pa.Table:
    """Points of a meter that began anew: the interval around it is a gap."""
    points = points_of(simulated)
    begun = simulated.window_ns[0] + RESTARTED_S * SECOND
    later = pc.and_(pc.equal(points["metric"], instruments.HW_ENERGY.name), pc.greater_equal(points["time_ns"], begun))
    starts = pc.if_else(later, pa.scalar(begun), points["start_ns"])
    return points.set_column(points.column_names.index("start_ns"), "start_ns", starts)


def rows(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.query(COVERAGE).to_pylist()
    return found


def test_joules_of_a_part_are_marked_however_they_came(store: Store, tmp_path: Path, simulated: Simulated) -> None:
    spans, points = spans_of(simulated), with_a_restart(simulated)
    fed(store, Settler(store, SETTINGS), spans, points, 6)
    gaps = store.query(
        "SELECT epoch_ns(started_at) AS low, epoch_ns(ended_at) AS high FROM energy_intervals"
        " WHERE unattributed_reason = 'gap'"
    ).to_pylist()
    assert len(gaps) == 1
    low, high = gaps[0]["low"], gaps[0]["high"]
    partial = [row for row in rows(store) if row["energy_coverage"] is not None and row["energy_coverage"] < 1]
    assert partial
    for row in rows(store):
        lost = max(0, min(row["ended"], high) - max(row["begun"], low))
        if row["energy_coverage"] is None:
            assert lost == row["ended"] - row["begun"]
        else:
            assert row["energy_coverage"] == pytest.approx(1 - lost / (row["ended"] - row["begun"]), abs=1e-3)
    with Store.open(tmp_path / "reference", memory_limit="512MB") as reference:
        reference.append_raw({"spans": spans, "metric_points": points})
        asyncio.run(Settler(reference, SETTINGS).settle_now())
        at_once = {row["request_id"]: row["energy_coverage"] for row in rows(reference)}
    assert {row["request_id"]: row["energy_coverage"] for row in rows(store)} == pytest.approx(at_once)
    store.close()
    said = CliRunner().invoke(app, ["ledger", "explain", partial[0]["request_id"], "--data", str(tmp_path / "store")])
    assert "of a part" in said.output
    assert f"{partial[0]['energy_coverage']:.1%} of the time it ran was metered" in said.output


def test_what_was_metered_as_a_whole_has_no_mark(store: Store, simulated: Simulated) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    asyncio.run(Settler(store, SETTINGS).settle_now())
    assert {row["energy_coverage"] for row in rows(store)} == {1.0}
    tries = store.query("SELECT DISTINCT energy_coverage AS c FROM attempts")["c"].to_pylist()
    assert tries == [1.0]


def test_the_requests_page_shows_it_beside_the_joules() -> None:
    assert shown(2.0, 0.5, 1.0) == shown(2.0, 0.5)
    assert shown(2.0, 0.5, 0.624) == f"{shown(2.0, 0.5)} · 62% metered"
    assert shown(2.0, None, 0.9999).endswith("· 99% metered"), "never rounded to all of it"
    assert shown(None, None, None) == shown(None, None)
