"""Requests carry grams and money after settling, the same whether at once, in pieces or again later."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analytics import metric
from analytics.charges.intensity import Intensity
from analytics.charges.prices import EnergyPrice, Hardware, Prices, TokenPrice
from analytics.idling import SEPARATE, Idling
from analytics.ledger.simulation import Load, Meters, Simulated, simulate
from analytics.metric import Window
from collector.charging.charger import Charger
from collector.charging.gridfeed import Feed
from collector.charging.provider import GridContext
from collector.settings import CollectorSettings, GridSettings, SettleSettings
from collector.settling.settle import Settler
from store.writing import Store
from tests.collector.test_settle import DEMO_ENGINE, SECOND, between, points_of, spans_of

SETTINGS = SettleSettings(interval_s=0.02, watermark_s=5.0)
YEARLY = Intensity("DE", datetime(2023, 1, 1), datetime(2024, 1, 1), 381.0, "average", "static: x", 2023, True)
PRICES = Prices("EUR", "assumed", (EnergyPrice(0.30),), (TokenPrice("gpt-*", 1.0, 4.0, 0.5),))
HARDWARE = (Hardware("*", "maker's sheet", price_per_hour=0.36, embodied_kg=100.0),)
CONFIGURED = CollectorSettings(grid=GridSettings(zone="DE", pue=1.2), prices=PRICES, hardware=HARDWARE)
SUMS = ("co2e_g", "co2e_embodied_g", "cost_energy", "cost_device")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", memory_limit="512MB") as opened:
        yield opened


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    random = np.random.default_rng(2)
    size, seconds = 240, 80.0
    arrivals = np.sort(random.uniform(0, seconds, size))
    load = Load(arrivals, random.integers(8, 60, size), np.zeros(size, np.int64), random.integers(2, 24, size))
    return simulate(load, DEMO_ENGINE, Meters(sample_s=1.0, sample_offset_s=0.61))


def settler(store: Store, configured: CollectorSettings = CONFIGURED, yearly: Intensity | None = YEARLY) -> Settler:
    return Settler(store, SETTINGS, Charger.of(configured, yearly))


def only(store: Store, sql: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = store.query(sql).to_pylist()
    return rows[0]


def test_requests_pay_for_their_joules_with_the_factor_in_the_row(store: Store, simulated: Simulated) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    asyncio.run(settler(store).settle_now())
    row = store.query("SELECT * FROM requests WHERE energy_j > 0 LIMIT 1").to_pylist()[0]
    assert row["co2e_g"] == pytest.approx(row["energy_j"] * 1.2 * 381.0 / 3.6e6)
    assert row["cost_energy"] == pytest.approx(row["energy_j"] * 1.2 * 0.30 / 3.6e6)
    assert row["cost"] == pytest.approx(row["cost_energy"] + row["cost_device"])
    assert row["grid_g_per_kwh"] == pytest.approx(381.0)
    told = {name: row[name] for name in ("currency", "grid_zone", "grid_basis", "grid_source", "grid_year")}
    assert told == {
        "currency": "EUR", "grid_zone": "DE", "grid_basis": "average", "grid_source": "static: x", "grid_year": 2023,
    }  # fmt: skip
    assert (row["grid_estimated"], row["pue"], row["price_source"]) == (True, 1.2, "assumed")
    assert row["hardware_source"] == "maker's sheet"
    named = store.query("SELECT DISTINCT hardware_source AS s FROM energy_intervals")["s"].to_pylist()
    assert named == ["maker's sheet"], "of its embodied carbon and its hours"


def test_what_requests_do_not_pay_stays_in_the_balance(store: Store, simulated: Simulated) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    asyncio.run(settler(store).settle_now())
    for name in SUMS:
        paid = only(store, f"SELECT sum({name}) AS paid FROM requests")["paid"]
        whole = only(
            store,
            f"SELECT sum({name}) AS whole, sum({name} * attributed_j / nullif(total_j, 0)) AS mine"
            " FROM energy_intervals",
        )
        slots = only(store, f"SELECT sum({name}) AS whole FROM energy_spent")["whole"]
        assert paid == pytest.approx(whole["mine"], rel=1e-9)
        assert slots == pytest.approx(whole["whole"], rel=1e-9)
        assert 0 < paid < whole["whole"]
    lengths = "SELECT sum(DISTINCT epoch(ended_at)) - sum(DISTINCT epoch(started_at)) AS s FROM energy_intervals"
    seconds = only(store, lengths)
    hourly = only(store, "SELECT sum(cost_device) AS c FROM energy_intervals")["c"]
    assert hourly == pytest.approx(seconds["s"] * 0.36 / 3600)


def test_minutes_that_were_settled_before_keep_their_charges(store: Store, simulated: Simulated) -> None:
    """A request pays for joules of two passes, and the balance closes whatever was settled when."""
    spans, points = spans_of(simulated), points_of(simulated)

    async def feed() -> None:
        mine = settler(store)
        begin, end = simulated.window_ns
        for moment in range(begin, end + SECOND, 17 * SECOND):
            slices = {"spans": spans, "metric_points": points}
            store.append_raw({name: between(rows, moment, moment + 17 * SECOND) for name, rows in slices.items()})
            await mine._settle(5 * SECOND)
        await mine.settle_now()

    asyncio.run(feed())
    for row in store.query("SELECT * FROM requests").to_pylist():
        assert (row["cost_tokens"], row["cost_basis"]) == (None, None), "our own sum is not a reported cost"
        assert row["cost"] == pytest.approx(row["cost_energy"] + row["cost_device"])
        assert row["co2e_g"] == pytest.approx(row["energy_j"] * 1.2 * 381.0 / 3.6e6)
        assert row["cost_energy"] == pytest.approx(row["energy_j"] * 1.2 * 0.30 / 3.6e6)
    for name in SUMS:
        paid = only(store, f"SELECT sum({name}) AS paid FROM requests")["paid"]
        owed = f"SELECT sum({name} * attributed_j / nullif(total_j, 0)) AS owed FROM energy_intervals"
        assert paid == pytest.approx(only(store, owed)["owed"], rel=1e-9)


def test_a_recorded_series_is_used_before_the_yearly_mean(store: Store, simulated: Simulated) -> None:
    begin = datetime.fromtimestamp(simulated.window_ns[0] // SECOND, UTC).replace(tzinfo=None)
    rows = [
        Intensity("DE", begin - timedelta(hours=1), begin + timedelta(seconds=40), 100.0, "average", "csv: day.csv"),
        Intensity("DE", begin - timedelta(hours=1), begin + timedelta(hours=9), 900.0, "marginal", "csv: day.csv"),
        Intensity("FR", begin - timedelta(hours=1), begin + timedelta(hours=9), 50.0, "average", "csv: day.csv"),
    ]
    Feed(store, Listed(rows), YEARLY, 1.0).start()
    grid = GridSettings(provider="csv", zone="DE", max_age_s=0.0)
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    asyncio.run(settler(store, CollectorSettings(grid=grid)).settle_now())
    found = store.query(
        "SELECT DISTINCT grid_g_per_kwh AS g, grid_source AS source, grid_estimated AS estimated, cost_energy"
        " FROM energy_intervals ORDER BY g"
    ).to_pylist()
    assert [(row["g"], row["source"], row["estimated"]) for row in found] == [
        (100.0, "csv: day.csv", False),
        (381.0, "static: x", True),
    ]
    assert {row["cost_energy"] for row in found} == {None}
    mixed = "SELECT count(*) AS n FROM requests WHERE grid_g_per_kwh NOT BETWEEN 100 - 1e-9 AND 381 + 1e-9"
    assert only(store, mixed)["n"] == 0


@pytest.mark.parametrize(
    ("reported", "currency", "expected"),
    [
        (None, None, (10 * 1.0 + 30 * 0.5 + 20 * 4.0) / 1e6),
        (0.25, "EUR", 0.25),
        (0.25, "USD", 0.25),
    ],
)
def test_tokens_cost_what_the_emitter_says_else_the_price_of_the_model(
    store: Store, simulated: Simulated, reported: float | None, currency: str | None, expected: float
) -> None:
    told = {"cost": reported, "currency": currency, "model_served": "gpt-9"}
    told |= {"input_tokens": 40, "cached_input_tokens": 30, "output_tokens": 20}
    spans = spans_of(simulated).slice(0, 1).to_pylist()
    table = pa.Table.from_pylist([span | told for span in spans], schema=spans_of(simulated).schema)
    store.append_raw({"spans": table, "metric_points": points_of(simulated)})
    for _ in range(2):  # settling again must not add anything
        asyncio.run(settler(store).settle_now())
    row = only(store, "SELECT * FROM requests")
    assert row["cost_tokens"] == pytest.approx(expected)
    assert row["cost_basis"] == ("priced" if reported is None else "reported")
    assert row["currency"] == (currency or "EUR")
    if currency == "USD":
        assert (row["cost"], row["cost_energy"], row["cost_device"]) == (0.25, None, None)
    else:
        assert row["cost"] == pytest.approx(expected + row["cost_energy"] + row["cost_device"])


def test_without_settings_a_reported_cost_stays_and_grams_are_not_known(store: Store, simulated: Simulated) -> None:
    spans = spans_of(simulated).slice(0, 1)
    table = pa.Table.from_pylist(
        [row | {"cost": 0.5, "currency": "USD"} for row in spans.to_pylist()], schema=spans.schema
    )
    store.append_raw({"spans": table, "metric_points": points_of(simulated)})
    asyncio.run(Settler(store, SETTINGS).settle_now())
    row = only(store, "SELECT cost, currency, cost_basis, co2e_g, grid_zone FROM requests")
    assert row == {"cost": 0.5, "currency": "USD", "cost_basis": "reported", "co2e_g": None, "grid_zone": None}


class Listed:
    """A provider of given rows."""

    bases = ("average", "marginal")
    live = False

    def __init__(self, rows: Any) -> None:
        self.rows = [] if isinstance(rows, GridContext) else rows

    def yearly(self) -> None:
        return None

    def read(self, since: datetime, until: datetime) -> list[Intensity]:
        return [row for row in self.rows if since <= row.started_at < until]


@pytest.mark.parametrize("idling", [SEPARATE, Idling("amortised"), Idling("reserved", {"archive": 0.5})], ids=str)
def test_slots_answer_the_metrics_like_the_finest_grain(store: Store, simulated: Simulated, idling: Idling) -> None:
    store.append_raw({"spans": spans_of(simulated), "metric_points": points_of(simulated)})
    asyncio.run(settler(store).settle_now())
    begin = datetime.fromtimestamp(simulated.window_ns[0] // SECOND // 10 * 10, UTC).replace(tzinfo=None)
    window = Window(begin, begin + timedelta(seconds=110))
    names = ("co2e_per_1k_successful_tokens", "sci_per_token", "cost_per_request", "cost_per_million_tokens", "energy")
    slotted = {name: metric.run(store, name, window, ("tier",), idling=idling).to_pylist() for name in names}
    store.query("DELETE FROM manifest WHERE relation = 'energy_spent'")
    for name in names:
        finest = metric.run(store, name, window, ("tier",), idling=idling).to_pylist()
        assert [(row["part"], row.get("factor"), row.get("currency")) for row in slotted[name]] == [
            (row["part"], row.get("factor"), row.get("currency")) for row in finest
        ]
        values = [row["value"] for row in slotted[name]]
        assert values == pytest.approx([row["value"] for row in finest], rel=1e-9)
        assert all(value > 0 for value in values)
