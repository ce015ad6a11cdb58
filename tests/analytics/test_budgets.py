"""Budgets: what is spent against the pace, how fast it burns, and when it runs out."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.budgets import Budget, Spending, burn, burn_rate, contributors, status
from store import schemas
from store.writing import Store

NOON = datetime.datetime(2026, 11, 20, 12)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def minute_ns(at: datetime.datetime) -> int:
    return int(at.replace(second=0, microsecond=0, tzinfo=datetime.UTC).timestamp()) * 1_000_000_000


def put(store: Store, relation: str, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=schemas.arrow(relation))
    store.replace_buckets({relation: table}, {relation: sorted({minute_ns(row["started_at"]) for row in rows})})


def request(at: datetime.datetime, **fields: Any) -> dict[str, Any]:
    success = fields.get("success", True)
    return {
        "request_id": str(at), "trace_id": "t", "tenant": "acme", "tier": "scout", "model_served": "scout-1",
        "started_at": at, "ended_at": at, "success": success, "e2e_s": 1.0, "success_basis": "observed",
        "input_tokens": 60, "output_tokens": 40, **fields,
    }  # fmt: skip


def interval(at: datetime.datetime, joules: float) -> dict[str, Any]:
    return {
        "device": "gpu0", "started_at": at, "ended_at": at, "total_j": joules, "attributed_j": joules, "idle_j": 0.0,
        "unattributed_j": 0.0, "method": "counters_affine", "quality": "measured",
    }  # fmt: skip


def test_tokens_are_counted_from_the_start_of_the_utc_day(store: Store) -> None:
    yesterday, today = NOON - 13 * HOUR, [NOON - hours * HOUR for hours in (1, 2, 3)]
    put(store, "requests", [request(at, success=at != today[0]) for at in (yesterday, *today)])
    found = status(store, Budget("t", "tokens", "1d", limit=1200), NOON)
    assert found.period_start == NOON - 12 * HOUR
    assert (found.spent, found.allowed_by_now, found.burn, found.remaining) == (300, 600, 0.5, 900)


def test_burn_alone_is_that_of_the_status_for_half_of_the_questions(store: Store) -> None:
    put(store, "requests", [request(NOON - hours * HOUR, success=hours != 2) for hours in (1, 2, 3, 20)])
    asked: list[str] = []

    class Counting:
        def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
            asked.append(sql)
            return store.query(sql, parameters)

    for budget in (Budget("t", "tokens", "1d", limit=1200), Budget("e", "errors", "1d", objective=0.9)):
        for at in (NOON, NOON - 2 * HOUR, NOON - 48 * HOUR):
            assert burn(Counting(), budget, at) == status(store, budget, at).burn
    assert len(asked) == 6


def test_the_forecast_goes_on_at_the_speed_of_now(store: Store) -> None:
    put(store, "requests", [request(NOON - HOUR, input_tokens=360, output_tokens=40)])
    found = status(store, Budget("t", "tokens", "1d", limit=1200), NOON)
    assert found.burn_rate == pytest.approx(4.0)  # 400 in the last 2 h, 100 on pace
    assert found.exhausted_at == NOON + 4 * HOUR  # 800 left at 200/h
    assert status(store, Budget("t", "tokens", "1d", limit=12_000), NOON).exhausted_at is None
    assert status(store, Budget("t", "tokens", "1d", limit=400), NOON).exhausted_at == NOON


def test_energy_of_the_fleet_is_what_the_meters_counted(store: Store) -> None:
    put(store, "energy_intervals", [interval(NOON - HOUR, 500.0), interval(NOON - 2 * HOUR, 250.0)])
    put(
        store,
        "requests",
        [request(NOON - HOUR, energy_j=100.0), request(NOON - 2 * HOUR, tenant="other", energy_j=7.0)],
    )
    assert status(store, Budget("e", "energy_j", "1d", limit=3000), NOON).spent == 750
    assert status(store, Budget("e", "energy_j", "1d", limit=3000, tenant="acme"), NOON).spent == 100
    assert status(store, Budget("e", "energy_j", "1d", limit=3000, tier="expert"), NOON).spent is None


def test_grams_and_money_of_the_fleet_hold_what_belongs_to_nobody(store: Store) -> None:
    charged = {"co2e_g": 8.0, "cost_energy": 2.0, "cost_device": 1.0, "currency": "EUR"}
    put(store, "energy_intervals", [interval(NOON - HOUR, 500.0) | charged, interval(NOON - 2 * HOUR, 250.0)])
    paid = {"co2e_g": 3.0, "cost": 1.75, "cost_tokens": 0.5, "currency": "EUR"}
    put(store, "requests", [request(NOON - HOUR, **paid), request(NOON - 2 * HOUR, tenant="other")])
    assert status(store, Budget("g", "co2e_g", "1d", limit=100), NOON).spent == 8
    assert status(store, Budget("g", "co2e_g", "1d", limit=100, tenant="acme"), NOON).spent == 3
    assert status(store, Budget("c", "cost", "1d", limit=100), NOON).spent == 3.5
    assert status(store, Budget("c", "cost", "1d", limit=100, tenant="acme"), NOON).spent == 1.75
    assert status(store, Budget("c", "cost", "1d", limit=100, tenant="other"), NOON).spent is None


def test_money_of_two_currencies_is_not_added(store: Store) -> None:
    rows = [request(NOON - HOUR, cost=1.0, cost_tokens=1.0, currency=name) for name in ("EUR", "USD")]
    put(store, "requests", rows)
    assert status(store, Budget("c", "cost", "1d", limit=100), NOON).spent is None


def test_an_error_budget_is_the_share_that_may_fail_in_the_window_that_ends_now(store: Store) -> None:
    put(store, "requests", [request(NOON - HOUR * index / 10, success=index % 10 != 0) for index in range(1, 101)])
    found = status(store, Budget("e", "errors", "1d", objective=0.8), NOON)
    assert (found.spent, found.burn, found.remaining) == (10, pytest.approx(0.5), pytest.approx(10))
    assert found.limit == pytest.approx(20)


def test_without_data_nothing_is_claimed(store: Store) -> None:
    found = status(store, Budget("e", "energy_j", "1d", limit=1.0), NOON)
    assert (found.spent, found.burn, found.remaining, found.burn_rate, found.exhausted_at) == (None,) * 5


def test_contributors_are_the_largest_tenants_and_models(store: Store) -> None:
    rows = [request(NOON - HOUR * (index + 1) / 60, tenant=f"t{index}", input_tokens=100 * index) for index in range(5)]
    put(store, "requests", [*rows, request(NOON - HOUR / 2, tenant=None, model_served=None, input_tokens=360)])
    found = contributors(store, Budget("t", "tokens", "1d", limit=1), NOON - HOUR, NOON)
    assert [(one.dimension, one.value) for one in found[:3]] == [
        ("tenant", "t4"),
        ("tenant", "unknown"),
        ("tenant", "t3"),
    ]
    assert found[0].share == pytest.approx(440 / 1600)
    assert [one.value for one in found[3:]] == ["scout-1", "unknown"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "token", "limit": 1.0}, "did you mean 'tokens'"),
        ({"kind": "tokens"}, "need a limit"),
        ({"kind": "tokens", "limit": -1.0}, "need a limit"),
        ({"kind": "tokens", "limit": 1.0, "objective": 0.9}, "no objective"),
        ({"kind": "errors", "objective": 1.0}, "between 0 and 1"),
        ({"kind": "errors", "objective": 0.9, "limit": 1.0}, "no limit"),
        ({"kind": "tokens", "limit": 1.0, "window": "month"}, "5m or 30d"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_with_what_to_write(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget("b", **fields)


@given(spent=st.floats(0, 1e9), parts=st.integers(1, 1000), limit=st.floats(1, 1e9))
def test_spending_on_pace_burns_at_one_over_any_window(spent: float, parts: int, limit: float) -> None:
    budget = Budget("t", "tokens", "1d", limit=limit)
    on_pace = Spending(limit / parts, 1)
    assert burn_rate(budget, on_pace, budget.length / parts) == pytest.approx(1.0, rel=1e-6)
    doubled = burn_rate(budget, Spending(2 * spent, 1), HOUR)
    assert doubled == pytest.approx(2 * (burn_rate(budget, Spending(spent, 1), HOUR) or 0.0))
