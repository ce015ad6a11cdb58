"""A meter that was silent for longer than a pass looks: what its counter counted on is settled when it speaks again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from analytics.ledger.simulation import Simulated
from collector.settings import SettleSettings
from collector.settling.settle import Settler
from conventions import instruments
from store.writing import Store
from tests.collector.test_settle import between, joules, points_of, settled_at_once, simulated, spans_of

SECOND = 1_000_000_000
SETTINGS = SettleSettings(interval_s=0.02, watermark_s=5.0)
ENERGY = instruments.HW_ENERGY.name
__all__ = ["simulated"]  # the load of the other tests of settling


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


def two_meters(simulated: Simulated, silent: tuple[int, int]) -> pa.Table:
    """Points with a second board that always answers; the first one is silent from and to the given seconds."""
    points = points_of(simulated)
    energy = pc.equal(points["metric"], ENERGY)
    second = points.filter(energy)
    second = second.set_column(second.column_names.index("device"), "device", pa.array(["gpu1"] * second.num_rows))
    begin, end = (simulated.window_ns[0] + moment * SECOND for moment in silent)
    lost = pc.and_(energy, pc.and_(pc.greater(points["time_ns"], begin), pc.less(points["time_ns"], end)))
    return pa.concat_tables([points.filter(pc.invert(lost)), second])


def totals(store: Store) -> dict[str, float]:
    rows = store.query("SELECT device, sum(total_j) AS j FROM energy_intervals GROUP BY device").to_pylist()
    return {row["device"]: row["j"] for row in rows}


def fed(store: Store, settler: Settler, spans: pa.Table, points: pa.Table, every_s: int) -> None:
    """Spans and points as they come in, a pass after every piece."""
    begin, end = (pick(points["time_ns"]).as_py() for pick in (pc.min, pc.max))
    for low in range(begin, end + 1, every_s * SECOND):
        pieces = {"spans": spans, "metric_points": points}
        store.append_raw({name: between(rows, low, low + every_s * SECOND) for name, rows in pieces.items()})
        asyncio.run(settler._settle(5 * SECOND))  # as the loop does: the newest seconds are left for the next pass
    asyncio.run(settler.settle_now())


@pytest.mark.parametrize("silent", [(40, 46), (31, 69)])
def test_a_silence_ends_in_the_rows_that_one_pass_gives(
    store: Store, tmp_path: Path, simulated: Simulated, silent: tuple[int, int]
) -> None:
    spans, points = spans_of(simulated), two_meters(simulated, silent)
    fed(store, Settler(store, SETTINGS), spans, points, 6)
    expected = settled_at_once(tmp_path, ("spans", spans), ("metric_points", points))
    found = joules(store)
    assert {device: sum(j for key, j in found.items() if key[2] == device) for device in ("gpu0", "gpu1")} == (
        pytest.approx(
            {device: sum(j for key, j in expected.items() if key[2] == device) for device in ("gpu0", "gpu1")}, rel=0.02
        )
    )
    assert totals(store)["gpu0"] == pytest.approx(totals(store)["gpu1"], rel=1e-9)
    assert store.query("SELECT count(*) FROM requests WHERE energy_j IS NULL").column(0)[0].as_py() == 0
    reasons = store.query("SELECT DISTINCT unattributed_reason AS r FROM energy_intervals")["r"].to_pylist()
    assert "gap" not in reasons


def test_a_late_span_amid_a_silence_takes_no_joules_away(store: Store, simulated: Simulated) -> None:
    """Its bucket is settled again from points that end long before the meter spoke again."""
    spans, points = spans_of(simulated), two_meters(simulated, (31, 69))
    points = points.filter(pc.not_equal(pc.fill_null(points["device"], ""), "gpu1"))
    amid = simulated.window_ns[0] + 50 * SECOND
    late = pc.and_(pc.greater(spans["start_ns"], amid), pc.less(spans["start_ns"], amid + 2 * SECOND))
    store.append_raw({"spans": spans.filter(pc.invert(late)), "metric_points": points})
    settler = Settler(store, SETTINGS)
    asyncio.run(settler.settle_now())
    before = totals(store)
    arrived = spans.filter(late)
    newest = pc.max(points["received_ns"]).as_py() + SECOND
    received = pa.array([newest] * arrived.num_rows, pa.int64())
    store.append_raw({"spans": arrived.set_column(arrived.column_names.index("received_ns"), "received_ns", received)})
    asyncio.run(settler.settle_now())
    assert totals(store) == pytest.approx(before, rel=1e-9)
    assert store.query("SELECT count(*) FROM requests WHERE energy_j IS NULL").column(0)[0].as_py() == 0
