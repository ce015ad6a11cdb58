"""Every file of analytics/metrics is complete, runs on an empty store, and agrees with plain Python on random rows."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import metric
from analytics.metric import Dimension, Filters, Window
from conventions.errors import PluginError
from dashboard import sample
from store.writing import Store
from tests.analytics.metrics.charges_recomputed import CHARGES
from tests.analytics.metrics.recomputed import ENERGY, REQUESTS, Scope, answer

Interval = tuple[int, float, float, str | None]
DAY = datetime(2026, 3, 2)
GROUPINGS: list[tuple[Dimension, ...]] = [(), ("tier",), ("tenant",), ("model",), ("tier", "tenant", "model")]
OF_REQUESTS = {name for name in metric.names() if metric.JOBS not in metric.load(name).needs}
names = pytest.mark.parametrize("name", metric.names())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("metrics")) as opened:
        yield opened


@names
def test_header_is_complete(name: str) -> None:
    told = metric.load(name)
    assert told.title
    assert told.definition.endswith(".")
    assert told.grain[:4] == ("bucket", "tier", "tenant", "model")
    of_requests = {"requests", "attempts", "attempt_energy", "energy_intervals", "energy_spent"}
    of_requests |= {"request_hours", "duration_hours", "energy_hours"}
    assert set(told.needs) <= ({"job_progress", "energy_intervals"} if metric.JOBS in told.needs else of_requests)


@names
@pytest.mark.parametrize("by", GROUPINGS)
@pytest.mark.parametrize("bucket_s", [None, 3600])
def test_runs_on_an_empty_store_and_answers_nothing(
    store: Store, name: str, by: tuple[Dimension, ...], bucket_s: int | None
) -> None:
    years_before_any_row = Window(datetime(1999, 1, 1), datetime(1999, 1, 2))
    found = metric.run(store, name, years_before_any_row, by, bucket_s=bucket_s)
    assert found.num_rows == 0
    assert {"bucket", "tier", "tenant", "model", "value", "n"} <= set(found.column_names)
    assert set(metric.load(name).grain) <= set(found.column_names)


def test_every_metric_has_a_recomputation() -> None:
    """Metrics of jobs have theirs in ``test_job_metrics``."""
    assert {*REQUESTS, *ENERGY, *CHARGES} == OF_REQUESTS


def test_an_unknown_metric_names_the_nearest_one() -> None:
    with pytest.raises(PluginError, match="ttft_p95"):
        metric.load("ttft_p96")


def test_an_incomplete_header_is_refused_with_what_is_missing() -> None:
    with pytest.raises(PluginError, match="definition"):
        metric.parse("x", "-- title: X\n-- unit: s\nSELECT 1")


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == metric.reference(), (
        "run: python -m analytics.metric --write docs/metrics.md"
    )


# --- random rows: each example has an hour of its own, so that one store serves all of them --------------------------

seconds = st.floats(1e-4, 30.0)
tokens = st.integers(0, 400)
joules = st.floats(0.0, 50.0)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


offsets = st.integers(0, 3599) | st.sampled_from([600, 1800])  # some joules lie in an interval that is charged


request_rows = st.fixed_dictionaries(
    {
        "offset_s": offsets,
        "tier": maybe(st.sampled_from(["scout", "expert"])),
        "tenant": maybe(st.sampled_from(["archive", "reading-room"])),
        "model_served": maybe(st.sampled_from(["s1", "e1"])),
        "model_requested": maybe(st.just("desk")),
        "run_id": maybe(st.just("run-1")),
        "streamed": maybe(st.booleans()),
        "success": st.booleans(),
        "input_tokens": maybe(tokens),
        "cached_input_tokens": maybe(tokens),
        "output_tokens": maybe(tokens),
        "queue_s": maybe(seconds),
        "ttft_s": maybe(seconds),
        "tpot_s": maybe(seconds),
        "itl_s": maybe(st.lists(seconds, max_size=3)),
        "first_token_origin": st.sampled_from(["engine", "gateway", "client"]),
        "e2e_s": seconds,
        "cache_result": maybe(st.sampled_from(["miss", "exact", "semantic"])),
        "energy_j": maybe(joules),
        "cost_tokens": maybe(joules),
        "attempts": st.lists(
            st.tuples(st.sampled_from(["answered", "failed", "refused"]), st.lists(joules, max_size=2)), max_size=2
        ),
    }
)
interval_rows = st.tuples(offsets, joules, joules, st.sampled_from([None, "overhead", "unclaimed"]))
filters = st.sampled_from(
    [Filters(), Filters(), Filters(tiers=("scout",)), Filters(tenants=("archive",), runs=("run-1",))]
)


def settled(hour: datetime, requests: list[dict[str, Any]], intervals: list[Interval], charging: str = "none") -> Any:
    rows: dict[str, list[dict[str, Any]]] = {
        "requests": [],
        "attempts": [],
        "attempt_energy": [],
        "energy_intervals": [],
    }
    for number, drawn in enumerate(requests):
        started_at = hour + timedelta(seconds=drawn["offset_s"])
        key = {"request_id": f"{hour:%H%d%m%Y}:{number}", "started_at": started_at}
        currency = None if drawn["cost_tokens"] is None else _currency(drawn["offset_s"], charging)
        key["currency"] = currency
        given_up = {name: value for name, value in drawn.items() if name not in ("offset_s", "attempts")}
        rows["requests"].append(key | given_up | {"trace_id": "t", "ended_at": started_at, "success_basis": "observed"})
        for attempt, (outcome, spent) in enumerate(drawn["attempts"], start=1):
            when = {name: key[name] for name in ("request_id", "started_at")}
            rows["attempts"].append(when | {"attempt": attempt, "outcome": outcome, "ended_at": started_at})
            parts = {"attempt": attempt, "device": "gpu0", "component": "decode"}
            rows["attempt_energy"].extend(when | parts | {"joules": value} for value in spent)
    for offset_s, idle, unattributed, reason in intervals:
        row = _interval(hour + timedelta(seconds=offset_s), idle, unattributed, reason)
        rows["energy_intervals"].append(row | _charges(offset_s, row["total_j"], charging))
    return rows


def _currency(offset_s: int, charging: str) -> str:
    return "USD" if charging == "mixed" and offset_s % 2 else "EUR"


def _charges(offset_s: int, total_j: float, charging: str) -> dict[str, Any]:
    """Charges of an interval: of none, of all, of some, or of two bases and currencies."""
    if charging == "none" or (charging == "some" and offset_s % 2):
        return {}
    factor = {"grid_zone": "DE", "grid_source": "csv", "grid_g_per_kwh": 300.0 + offset_s, "grid_estimated": False}
    basis = "marginal" if charging == "mixed" and offset_s % 2 else "average"
    money = {"cost_energy": total_j * 0.02, "cost_device": 0.5, "currency": _currency(offset_s, charging)}
    return factor | money | {"grid_basis": basis, "co2e_g": total_j * 0.1, "co2e_embodied_g": 0.25}


def _interval(started_at: datetime, idle: float, unattributed: float, reason: str | None) -> dict[str, Any]:
    balance = {"total_j": idle + unattributed, "attributed_j": 0.0, "idle_j": idle, "unattributed_j": unattributed}
    when = {"device": "gpu0", "started_at": started_at, "ended_at": started_at + timedelta(seconds=1)}
    return when | balance | {"unattributed_reason": reason, "method": "none", "quality": "measured"}


def same(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12)


hours = iter(range(1_000_000))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(request_rows, max_size=9),
    intervals=st.lists(interval_rows, max_size=3),
    by=st.sampled_from(GROUPINGS),
    chosen=filters,
    bucket_s=st.sampled_from([None, 600, 7200]),
    cut_s=st.integers(0, 900),
    charging=st.sampled_from(["none", "all", "all", "some", "mixed"]),
)
def test_agrees_with_plain_python(
    store: Store,
    requests: list[dict[str, Any]],
    intervals: list[Interval],
    by: tuple[Dimension, ...],
    chosen: Filters,
    bucket_s: int | None,
    cut_s: int,
    charging: str,
) -> None:
    hour = DAY + timedelta(hours=next(hours) * 30)  # more than a day apart: no example sees another's requests
    rows = settled(hour, requests, intervals, charging)
    sample.write(store, rows)
    window = Window(hour + timedelta(seconds=cut_s), hour + timedelta(hours=1))
    scope = Scope(rows, window, by, chosen, bucket_s)
    for name in sorted(OF_REQUESTS):
        grain = metric.load(name).grain
        found = metric.run(store, name, window, by, chosen, bucket_s).to_pylist()
        values = {tuple(row[column] for column in grain): row["value"] for row in found}
        assert len(values) == len(found), f"{name}: two rows of one key"
        expected = CHARGES[name](scope, rows["energy_intervals"]) if name in CHARGES else answer(name, scope)
        assert values.keys() == expected.keys(), name
        for key, value in expected.items():
            assert same(values[key], value), f"{name} {key}: {values[key]} is not {value}"


def test_groups_sum_to_the_energy_balance(store: Store) -> None:
    end = datetime(2031, 5, 6, 12)
    rows = sample.library_days(end, hours=3)
    sample.write(store, rows)
    window = Window(end - timedelta(hours=3), end)
    balance = sum(row["total_j"] for row in rows["energy_intervals"])
    for by in GROUPINGS:
        for name, column in (("energy_per_successful_token", "joules"), ("energy", "value")):
            found = metric.run(store, name, window, by, bucket_s=900)
            assert sum(value or 0.0 for value in found[column].to_pylist()) == pytest.approx(balance, rel=1e-12)


def test_dimensions_are_those_of_the_type() -> None:
    assert get_args(Dimension) == metric.DIMENSIONS
