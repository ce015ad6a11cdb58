"""Hours answer like the rows they are summed from: sums the same, percentiles within 1 %, whatever is settled again,
closed, sealed or forgotten in between.
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import metric, sources
from analytics.hours.building import roll_up
from analytics.idling import Idling
from analytics.metric import Filters, Window
from dashboard import sample
from store import compaction, retention, sealing
from store.writing import Store

DAY = datetime(2027, 5, 3)
FAR_NS = 2**62
NAMES = [name for name in metric.names() if {"request_hours", "duration_hours"} & set(metric.load(name).needs)]
WINDOWS = {
    "whole hours": Window(DAY, DAY + timedelta(hours=12)),
    "half-open ends": Window(DAY + timedelta(minutes=13, seconds=20), DAY + timedelta(hours=11, minutes=50)),
}
FILTERS = {"all": Filters(), "a tenant": Filters(tenants=("archive",)), "a tier": Filters(tiers=("scout",))}
seconds = st.floats(1e-5, 1e3)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("hours")) as opened:
        yield opened


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("empty")) as opened:
        yield opened


def settle(store: Store, start: datetime, hours: float, seed: int = 0) -> None:
    days = sample.library_days(start + timedelta(hours=hours), hours, per_minute=0.5, seed=seed)
    for number, row in enumerate(days["requests"]):
        row |= {"itl_s": [0.01 * (number % 7 + gap) for gap in range(3)], "cost_tokens": 0.25, "currency": "EUR"}
    sample.settle(store, days)


def answers(store: Store, window: Window, filters: Filters, bucket_s: int | None) -> Any:
    """Rows of every metric by name and key."""
    found = metric.run_all(store, NAMES, window, ("tier", "tenant"), filters, bucket_s, Idling("amortised"))
    grain = {name: metric.load(name).grain for name in NAMES}
    return {name: {tuple(row[key] for key in grain[name]): row for row in found[name].to_pylist()} for name in NAMES}


def agree(store: Store, window: Window, filters: Filters = FILTERS["all"], bucket_s: int | None = 7200) -> None:
    """Every metric, by rows and by hours."""
    by_hour = answers(store, window, filters, bucket_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "ROLLED_UP_FROM", timedelta.max)
        by_row = answers(store, window, filters, bucket_s)
    for name in NAMES:
        assert by_row[name].keys() == by_hour[name].keys(), name
        for key, row in by_row[name].items():
            for column, value in row.items():
                same(value, by_hour[name][key], column, f"{name} {key} {column}")


def same(value: Any, found: dict[str, Any], column: str, where: str) -> None:
    if column == "relative_error":
        return
    if not isinstance(value, float):
        assert found[column] == value, where
        return
    error = found.get("relative_error") or 0.0
    assert found[column] == pytest.approx(value, rel=error * (1 + 1e-9) + 1e-9, abs=1e-12), where


@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
@pytest.mark.parametrize("exact_values", [0, 50_000])
def test_hours_answer_like_rows(store: Store, window: Window, exact_values: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "EXACT_VALUES", exact_values)
    settle(store, DAY, 12)
    assert roll_up(store, FAR_NS) == 24
    for filters in FILTERS.values():
        agree(store, window, filters)
    agree(store, window, bucket_s=None)


def test_what_is_settled_late_is_answered_at_once_and_summed_again(store: Store) -> None:
    settle(store, DAY, 12)
    roll_up(store, FAR_NS)
    settle(store, DAY + timedelta(hours=3), 2, seed=1)
    agree(store, WINDOWS["half-open ends"])
    assert summed(store, "request_hours") == 10
    assert roll_up(store, FAR_NS) == 4
    assert roll_up(store, FAR_NS) == 0
    agree(store, WINDOWS["half-open ends"])


def test_a_closed_sealed_and_late_day_answers_the_same(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "EXACT_VALUES", 0)
    day = (DAY - datetime(1970, 1, 1)).days
    settle(store, DAY, 12)
    roll_up(store, FAR_NS)
    assert compaction.close(store, day + 1) == [day]
    agree(store, WINDOWS["half-open ends"])
    assert sealing.seal(store, day + 1) == [day]
    assert summed(store, "duration_hours") == 12
    agree(store, WINDOWS["half-open ends"])
    settle(store, DAY + timedelta(hours=5), 1, seed=2)
    agree(store, WINDOWS["half-open ends"])
    roll_up(store, FAR_NS)
    sealing.seal(store, day + 1)
    assert summed(store, "energy_hours") == 12
    agree(store, WINDOWS["half-open ends"])
    retention.expire(store, day + 1)
    assert summed(store, "request_hours") == summed(store, "duration_hours") == summed(store, "energy_hours") == 0


def test_hours_summed_again_leave_nothing_behind(store: Store) -> None:
    for seed in range(3):
        settle(store, DAY, 2, seed=seed)
        roll_up(store, FAR_NS)
    before = store.query("FROM duration_hours ORDER BY ALL")
    assert store.query("FROM duration_hours_summed").num_rows > 2 * before.num_rows
    assert "duration_hours" in compaction.compact(store)
    assert store.query("FROM duration_hours_summed").num_rows == before.num_rows
    assert store.query("FROM duration_hours ORDER BY ALL").equals(before)
    assert roll_up(store, FAR_NS) == 0


def test_hours_whose_rows_change_while_they_are_summed_are_left(store: Store, monkeypatch: Any) -> None:
    settle(store, DAY, 1)
    replacing = Store.replace_buckets

    def settle_first(own: Store, *arguments: Any, **named: Any) -> bool:
        if "as_of" in named:
            replacing(own, {}, {"requests": [minute_ns(DAY)], "energy_spent": [minute_ns(DAY)]})
        return replacing(own, *arguments, **named)

    monkeypatch.setattr(Store, "replace_buckets", settle_first)
    assert roll_up(store, FAR_NS) == 0
    assert summed(store, "request_hours") == 0
    monkeypatch.undo()
    assert roll_up(store, FAR_NS) == 2


def test_an_hour_without_slots_of_energy_is_not_summed(store: Store) -> None:
    settle(store, DAY, 2)
    store.replace_buckets({}, {"energy_intervals": [minute_ns(DAY - timedelta(days=1))]})
    days = sample.library_days(DAY - timedelta(hours=22), 2, per_minute=0.5)
    sample.write(store, {"energy_intervals": days["energy_intervals"]})
    roll_up(store, FAR_NS)
    assert summed(store, "energy_hours") == 2


def summed(store: Store, relation: str) -> int:
    found: int = store.query(f"SELECT count(DISTINCT started_at) AS n FROM {relation}")["n"][0].as_py()
    return found


def minute_ns(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1)).total_seconds()) * 1_000_000_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(seconds | st.just(0.0) | st.floats(1e-9, 1e9).map(lambda value: -value), min_size=1, max_size=40),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_percentile_of_steps_errs_by_at_most_a_hundredth(empty: Store, values: list[float], share: float) -> None:
    """Whatever the values: the two that are interpolated between are each known within 1 %."""
    found = empty.query(STEPPED, {"values": values, "share": share}).to_pylist()[0]
    low, high = math.floor(share * (len(values) - 1)), math.ceil(share * (len(values) - 1))
    allowed = 0.01 * max(abs(sorted(values)[low]), abs(sorted(values)[high]))
    assert abs(found["stepped"] - found["exact"]) <= allowed * (1 + 1e-9) + 1e-9, found


STEPPED = """
    WITH x AS (SELECT unnest($values::DOUBLE[]) AS v),
    steps AS (SELECT log_step_value(log_step(v)) AS v, count(*) AS n FROM x GROUP BY ALL),
    counted AS (SELECT v, sum(n) OVER (ORDER BY v) AS upto, sum(n) OVER () AS of_all FROM steps)
    SELECT (SELECT percentile(v, upto, of_all, $share) FROM counted) AS stepped,
           (SELECT quantile_cont(v, $share) FROM x) AS exact
"""
