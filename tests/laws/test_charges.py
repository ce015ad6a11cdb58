"""Grams and money are conserved where joules are: no charge is lost, made up or paid twice."""

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.charges.intensity import Intensity, IntensitySeries
from analytics.charges.intervals import SUMS, Charging, PerJoule, charged
from analytics.charges.prices import EnergyPrice, Hardware, Prices
from analytics.charges.slots import nobodys_charges
from analytics.ledger.rows import ATTEMPT_ENERGY, INTERVALS
from analytics.ledger.spending import spent
from store import schemas

BEGIN = datetime(2026, 11, 21, 23, 59)
LIFE_S = 4 * 365.25 * 86_400
joules = st.floats(0, 1e4).filter(lambda value: value == 0 or value > 1e-6)
rows = st.tuples(st.integers(0, 2), st.integers(0, 40), joules, joules, joules)
CHARGING = Charging(
    IntensitySeries(
        [Intensity("DE", BEGIN, BEGIN + timedelta(minutes=1), 300.0, "average", "csv: x")],
        Intensity("DE", datetime(2023, 1, 1), datetime(2024, 1, 1), 381.0, "average", "static", 2023, True),
        timedelta(0),
    ),
    pue=1.25,
    prices=Prices("EUR", "contract", (EnergyPrice(0.30, "06:00", "24:00"), EnergyPrice(0.10, "00:00", "06:00"))),
    hardware=(Hardware("d0", "list", price_per_hour=2.0, embodied_kg=150.0), Hardware("d1", "list", 0.5)),
)


def balance(world: list[tuple[int, int, float, float, float]]) -> pa.Table:
    """Interval rows of engines (attributed, unattributed) and of their device (idle)."""
    made: list[dict[str, Any]] = []
    for device, place, attributed, idle, unattributed in {row[:2]: row for row in world}.values():
        start = BEGIN + timedelta(seconds=4 * place)
        shared = {"device": f"d{device}", "started_at": start, "ended_at": start + timedelta(seconds=2)}
        shared |= {"method": "none", "quality": "simulated"}
        made.append(
            shared | {"engine": "e", "total_j": attributed + unattributed, "attributed_j": attributed}
            | {"idle_j": 0.0, "unattributed_j": unattributed, "unattributed_reason": "unclaimed"}
        )  # fmt: skip
        made.append(
            shared | {"engine": None, "total_j": idle, "attributed_j": 0.0, "idle_j": idle, "unattributed_j": 0.0}
        )
    return pa.Table.from_pylist(made, schema=INTERVALS)


def claims(intervals: pa.Table) -> pa.Table:
    """Each engine's attributed joules as those of two requests."""
    halves = [
        {"request_id": f"r{half}", "attempt": 1, "device": row["device"], "started_at": row["started_at"]}
        | {"component": "steps", "joules": row["attributed_j"] * (0.25 if half else 0.75), "variance_j2": None}
        for row in intervals.to_pylist()
        for half in (0, 1)
        if row["attributed_j"]
    ]
    return pa.Table.from_pylist(halves, schema=ATTEMPT_ENERGY)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_requests_idle_and_unattributed_pay_what_the_intervals_are_charged(
    world: list[tuple[int, int, float, float, float]],
) -> None:
    intervals = charged(balance(world), CHARGING)
    paid = PerJoule(intervals).charge(claims(intervals))
    nobodys = [nobodys_charges(intervals, part) for part in ("idle_j", "unattributed_j")]
    for name in SUMS:
        parts = [pc.sum(one).as_py() or 0.0 for one in (paid[name], nobodys[0][name], nobodys[1][name])]
        assert sum(parts) == pytest.approx(pc.sum(intervals[name]).as_py(), rel=1e-9, abs=1e-12), name
        assert min(parts) >= 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_energy_pays_by_the_joule_and_hardware_by_the_second(
    world: list[tuple[int, int, float, float, float]],
) -> None:
    intervals = charged(balance(world), CHARGING).to_pylist()
    grams = sum(row["total_j"] * 1.25 * (300.0 if row["started_at"].hour == 23 else 381.0) for row in intervals) / 3.6e6
    assert sum(row["co2e_g"] for row in intervals) == pytest.approx(grams, rel=1e-9)
    money = sum(row["total_j"] * 1.25 * (0.30 if row["started_at"].hour == 23 else 0.10) for row in intervals) / 3.6e6
    assert sum(row["cost_energy"] for row in intervals) == pytest.approx(money, rel=1e-9)
    seconds = {
        name: 2 * len({row["started_at"] for row in intervals if row["device"] == name}) for name in ("d0", "d1")
    }
    hourly = seconds["d0"] * 2.0 / 3600 + seconds["d1"] * 0.5 / 3600
    assert sum(row["cost_device"] for row in intervals) == pytest.approx(hourly, rel=1e-9)
    embodied = seconds["d0"] * 150_000.0 / LIFE_S
    assert sum(row["co2e_embodied_g"] for row in intervals) == pytest.approx(embodied, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=30))
def test_slots_carry_the_same_charges_as_the_finest_grain(world: list[tuple[int, int, float, float, float]]) -> None:
    intervals = charged(balance(world), CHARGING)
    nothing = {name: schemas.arrow(name).empty_table() for name in ("requests", "attempts")}
    slots = spent(claims(intervals), nothing["requests"], nothing["attempts"], intervals)
    for name in SUMS:
        assert pc.sum(slots[name]).as_py() == pytest.approx(pc.sum(intervals[name]).as_py(), rel=1e-9, abs=1e-12)
    assert set(pc.unique(slots["grid_factor"]).to_pylist()) <= {"DE csv: x", "DE 2023 static"}


def test_without_factors_and_prices_nothing_is_made_up() -> None:
    intervals = charged(balance([(0, 0, 5.0, 1.0, 0.0)]), Charging())
    for name in (*SUMS, "currency", "grid_zone", "pue"):
        assert intervals[name].null_count == intervals.num_rows, name
