"""Whoever is charged for idle joules: the rows of every metric sum to the balance, in joules, grams and money."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import idling, metric
from analytics.idling import SEPARATE, Idling
from analytics.metric import Dimension, Filters, Window
from conventions.errors import PluginError
from dashboard import sample
from store.writing import Store

DAY = datetime(2027, 3, 2)
POLICIES = [
    SEPARATE,
    Idling("amortised"),
    Idling("reserved", {"archive": 0.25, "reading-room": 0.5, "silent": 0.125}),
    Idling("reserved", {"archive": 1.0}),
]
GROUPINGS: list[tuple[Dimension, ...]] = [(), ("tier",), ("tenant",), ("model",), ("tier", "tenant", "model")]
hours = iter(range(1_000_000))
tenants, tiers = st.sampled_from(["archive", "reading-room", None]), st.sampled_from(["scout", "expert", None])
requests = st.tuples(
    st.integers(0, 3599), tenants, tiers, st.booleans(), st.none() | st.integers(0, 90), st.floats(0, 50)
)
intervals = st.tuples(st.integers(0, 3599), st.floats(0, 50), st.floats(0, 50), st.booleans())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("idle")) as opened:
        yield opened


def test_every_policy_is_tried_here() -> None:
    assert {policy.policy for policy in POLICIES} == set(idling.names())
    with pytest.raises(PluginError, match="amortised"):
        idling.fragment("amortized")


def settled(hour: datetime, asked: list[Any], idle: list[Any]) -> tuple[dict[str, Any], float]:
    """Rows of an hour, and the joules of their balance. Every joule weighs 0.1 g and costs 0.02."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("requests", "attempt_energy", "energy_intervals")}
    for number, (offset_s, tenant, tier, success, tokens, joules) in enumerate(asked):
        when = {"request_id": f"{hour.isoformat()}:{number}", "started_at": hour + timedelta(seconds=offset_s)}
        told = {"tenant": tenant, "tier": tier, "success": success, "output_tokens": tokens, "energy_j": joules}
        told |= {"trace_id": "t", "ended_at": when["started_at"], "success_basis": "observed", "e2e_s": 1.0}
        rows["requests"].append(when | told)
        spent = {"attempt": 1, "device": "gpu0", "component": "decode", "joules": joules}
        rows["attempt_energy"].append(when | spent)
        rows["energy_intervals"].append(balance(when["started_at"], attributed_j=joules))
    for offset_s, free, lost, overhead in idle:
        row = balance(hour + timedelta(seconds=offset_s), idle_j=free, unattributed_j=lost)
        rows["energy_intervals"].append(row | {"unattributed_reason": "overhead" if overhead else None})
    return rows, sum(row["total_j"] for row in rows["energy_intervals"])


def balance(at: datetime, **joules: float) -> dict[str, Any]:
    parts = {"attributed_j": 0.0, "idle_j": 0.0, "unattributed_j": 0.0} | joules
    total = sum(parts.values())
    charges = {"co2e_g": 0.1 * total, "cost_energy": 0.02 * total, "currency": "EUR", "grid_basis": "average"}
    shared = {"device": "gpu0", "started_at": at, "ended_at": at + timedelta(seconds=1), "total_j": total}
    return shared | parts | charges | {"method": "none", "quality": "measured", "grid_zone": "DE", "grid_source": "csv"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(requests, max_size=8),
    idle=st.lists(intervals, min_size=1, max_size=4),
    policy=st.sampled_from(POLICIES),
    by=st.sampled_from(GROUPINGS),
    bucket_s=st.sampled_from([None, 900]),
)
def test_groups_and_leftover_rows_sum_to_the_balance(
    store: Store,
    asked: list[Any],
    idle: list[Any],
    policy: Idling,
    by: tuple[Dimension, ...],
    bucket_s: float | None,
) -> None:
    hour = DAY + timedelta(hours=next(hours) * 30)
    rows, total_j = settled(hour, asked, idle)
    sample.write(store, rows)
    window = Window(hour, hour + timedelta(hours=1))

    def summed(name: str, column: str) -> float:
        found = metric.run(store, name, window, by, bucket_s=bucket_s, idling=policy)
        return sum(value or 0.0 for value in found[column].to_pylist())

    assert summed("energy", "value") == pytest.approx(total_j, rel=1e-9, abs=1e-9)
    assert summed("energy_per_successful_token", "joules") == pytest.approx(total_j, rel=1e-9, abs=1e-9)
    assert summed("co2e_per_1k_successful_tokens", "co2e_g") == pytest.approx(0.1 * total_j, rel=1e-9, abs=1e-9)
    assert summed("cost_per_request", "cost_energy") == pytest.approx(0.02 * total_j, rel=1e-9, abs=1e-9)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(requests, max_size=8),
    idle=st.lists(intervals, min_size=1, max_size=4),
    policy=st.sampled_from(POLICIES[1:]),
)
def test_a_filter_does_not_change_what_a_tenant_is_charged(
    store: Store, asked: list[Any], idle: list[Any], policy: Idling
) -> None:
    hour = DAY + timedelta(hours=next(hours) * 30)
    sample.write(store, settled(hour, asked, idle)[0])
    window = Window(hour, hour + timedelta(hours=1))
    name = "energy_per_successful_token"
    every = metric.run(store, name, window, ("tenant",), idling=policy).to_pylist()
    mine = metric.run(store, name, window, ("tenant",), Filters(tenants=("archive",)), idling=policy).to_pylist()
    owed = [row["joules"] for row in every if row["tenant"] == "archive" and row["part"] == "attributed"]
    assert [row["joules"] for row in mine] == pytest.approx(owed)


def test_amortised_idle_follows_tokens_and_reserved_idle_follows_reservations(store: Store) -> None:
    hour = DAY - timedelta(hours=30)
    asked = [(0, "archive", "scout", True, 30, 1.0), (1, "reading-room", "scout", True, 10, 1.0)]
    sample.write(store, settled(hour, asked, [(2, 40.0, 8.0, True)])[0])

    def joules(policy: Idling) -> dict[tuple[str | None, str], float]:
        window = Window(hour, hour + timedelta(hours=1))
        rows = metric.run(store, "energy_per_successful_token", window, ("tenant",), idling=policy).to_pylist()
        return {(row["tenant"], row["part"]): row["joules"] for row in rows}

    nobodys = {(None, "unattributed"): 8.0}
    assert joules(SEPARATE) == pytest.approx(
        {("archive", "attributed"): 1.0, ("reading-room", "attributed"): 1.0, (None, "idle"): 40.0} | nobodys
    )
    assert joules(Idling("amortised")) == pytest.approx(
        {("archive", "attributed"): 31.0, ("reading-room", "attributed"): 11.0} | nobodys
    )
    assert joules(Idling("reserved", {"archive": 0.25, "silent": 0.5})) == pytest.approx(
        {("archive", "attributed"): 11.0, ("reading-room", "attributed"): 1.0, ("silent", "attributed"): 20.0}
        | {(None, "idle"): 10.0}
        | nobodys
    )


@pytest.mark.parametrize(
    ("policy", "reservations", "told"),
    [
        ("reserved", {}, "set both"),
        ("amortised", {"a": 0.5}, "set both"),
        ("reserved", {"a": 0.6, "b": 0.6}, "at most"),
    ],
)
def test_reservations_that_make_no_sense_are_refused(policy: str, reservations: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Idling(policy, reservations)
