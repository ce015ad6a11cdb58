"""Burn-rate rules: what burns fires, with names; healthy and quiet services do not; dead rules are refused."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from analytics import alerting
from analytics.alerting import Rule, State
from analytics.budgets import Budget
from conventions.errors import SettingsError
from store import schemas
from store.writing import Store

NOON = datetime.datetime(2026, 11, 20, 12)
MINUTE = datetime.timedelta(minutes=1)
ERRORS = Budget("errors", "errors", "30d", objective=0.99)
PAGE = Rule("errors-page", "errors", "1h", "5m", 14.4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as opened:
        yield opened


def minutes(store: Store, first: int, last: int, per_minute: int, failing: int, tenant: str = "acme") -> None:
    """Requests in each of the minutes ``first`` to ``last`` (counted from noon), of which ``failing`` fail."""
    starts = [NOON + minute * MINUTE for minute in range(first, last)]
    rows = [
        {
            "request_id": f"{start}-{index}", "trace_id": "t", "tenant": tenant, "model_served": "scout",
            "started_at": start + index * MINUTE / per_minute, "ended_at": start + MINUTE, "success": index >= failing,
            "e2e_s": 1.0, "success_basis": "observed", "input_tokens": 100, "output_tokens": 100,
        }
        for start in starts
        for index in range(per_minute)
    ]  # fmt: skip
    buckets = [int(start.replace(tzinfo=datetime.UTC).timestamp()) * 1_000_000_000 for start in starts]
    table = pa.Table.from_pylist(rows, schema=schemas.arrow("requests"))
    store.replace_buckets({"requests": table}, {"requests": buckets})


def judge(store: Store, rule: Rule, budget: Budget, at: datetime.datetime = NOON) -> alerting.Finding:
    (finding,) = alerting.evaluate(store, [rule], [budget], at)
    return finding


def test_a_burning_budget_fires_and_names_who_burned_it(store: Store) -> None:
    minutes(store, -120, -60, 10, failing=0)
    minutes(store, -60, 0, 10, failing=3, tenant="reading-room")
    finding = judge(store, PAGE, ERRORS)
    assert finding.state is State.FIRING
    assert finding.long_burn == pytest.approx(30.0)
    text = alerting.summary_text([finding])
    assert "FIRING" in text
    assert "by tenant: reading-room 100% (180)" in text
    assert "by model: scout 100%" in text
    assert alerting.exit_code([finding]) == 1


def test_a_healthy_service_does_not_fire(store: Store) -> None:
    minutes(store, -60, 0, 100, failing=1)  # exactly on pace
    finding = judge(store, PAGE, ERRORS)
    assert finding.state is State.OK
    assert alerting.exit_code([finding]) == 0


@pytest.mark.parametrize(("per_minute", "failing"), [(1, 1), (1, 0)])
def test_low_traffic_says_insufficient_data_and_not_green(store: Store, per_minute: int, failing: int) -> None:
    minutes(store, -3, 0, per_minute, failing)
    finding = judge(store, PAGE, ERRORS)
    assert finding.state is State.INSUFFICIENT_DATA
    assert "CANNOT TELL" in alerting.summary_text([finding])
    assert alerting.exit_code([finding]) == 2


def test_a_few_failures_among_few_requests_are_not_a_page(store: Store) -> None:
    minutes(store, -60, -10, 1, failing=0)
    minutes(store, -4, -1, 1, failing=1)
    finding = judge(store, Rule("r", "errors", "1h", "5m", 3.0), ERRORS)
    assert finding.long_burn is not None
    assert finding.long_burn > 3.0
    assert finding.state is State.INSUFFICIENT_DATA
    assert "3 failures in 53 requests" in alerting.summary_text([finding])


def test_the_short_window_clears_it_fast(store: Store) -> None:
    minutes(store, -60, 0, 10, failing=5)
    minutes(store, 0, 10, 10, failing=0)
    assert judge(store, PAGE, ERRORS, NOON).state is State.FIRING
    cleared = judge(store, PAGE, ERRORS, NOON + 6 * MINUTE)
    assert cleared.long_burn is not None
    assert cleared.long_burn > PAGE.factor, "the long window alone would fire for most of another hour"
    assert cleared.state is State.OK


def test_traffic_that_stops_clears_it_too(store: Store) -> None:
    minutes(store, -60, 0, 10, failing=5)
    assert judge(store, PAGE, ERRORS, NOON + 10 * MINUTE).state is State.OK


def test_spend_burns_relative_to_its_pace(store: Store) -> None:
    minutes(store, -360, 0, 10, failing=0)  # 2,000 tokens a minute, 120,000 an hour
    rule = Rule("tokens-fast", "tokens", "6h", "30m", 2.0)
    assert judge(store, rule, Budget("tokens", "tokens", "1d", limit=24 * 60_000.0)).state is State.FIRING
    finding = judge(store, rule, Budget("tokens", "tokens", "1d", limit=24 * 120_000.0))
    assert finding.state is State.OK
    assert finding.long_burn == pytest.approx(1.0)


def test_nothing_to_judge_cannot_be_told() -> None:
    assert alerting.exit_code([]) == 2
    assert "add [[budgets]]" in alerting.summary_text([])


BUDGET = '[[budgets]]\nname = "errors"\nkind = "errors"\nwindow = "30d"\nobjective = {objective}\n'
RULE = '[[rules]]\nname = "fast"\nbudget = "{budget}"\nlong = "{long}"\nshort = "5m"\nfactor = 14.4\n'


def configured(tmp_path: Path, text: str) -> tuple[list[Budget], list[Rule]]:
    path = tmp_path / "stack.toml"
    path.write_text("[collector]\nport = 1\n" + text)
    return alerting.load(path)


def test_budgets_and_rules_are_read_from_the_configuration(tmp_path: Path) -> None:
    text = BUDGET.format(objective=0.99) + RULE.format(budget="errors", long="1h")
    assert configured(tmp_path, text) == ([ERRORS], [Rule("fast", "errors", "1h", "5m", 14.4)])


def test_a_rule_that_can_never_fire_is_refused_with_the_numbers(tmp_path: Path) -> None:
    text = BUDGET.format(objective=0.9) + RULE.format(budget="errors", long="1h")
    with pytest.raises(SettingsError, match=r"14\.4 × \(1 − 0\.9\) = 1\.44 ≥ 1.*below 10 .*above 0\.9306"):
        configured(tmp_path, text)


def test_wrong_names_and_windows_are_refused(tmp_path: Path) -> None:
    budget = BUDGET.format(objective=0.99)
    with pytest.raises(SettingsError, match="did you mean 'errors'"):
        configured(tmp_path, budget + RULE.format(budget="error", long="1h"))
    with pytest.raises(SettingsError, match="short 5m must be shorter than long 1m"):
        configured(tmp_path, budget + RULE.format(budget="errors", long="1m"))
    with pytest.raises(SettingsError, match="longer than the budget's window 30d"):
        configured(tmp_path, budget + RULE.format(budget="errors", long="31d"))
    with pytest.raises(SettingsError, match="same name"):
        configured(tmp_path, budget + budget)


def test_a_budget_without_rules_gets_the_workbooks_that_can_fire(tmp_path: Path) -> None:
    _, rules = configured(tmp_path, BUDGET.format(objective=0.999))
    assert [(rule.long, rule.short, rule.factor) for rule in rules] == [
        ("1h", "5m", 14.4), ("6h", "30m", 6.0), ("1d", "2h", 3.0), ("3d", "6h", 1.0),
    ]  # fmt: skip
    _, rules = configured(tmp_path, BUDGET.format(objective=0.9))
    assert [rule.factor for rule in rules] == [6.0, 3.0, 1.0]


@pytest.mark.parametrize("window", ["1h", "1d", "7d", "30d", "90d"])
@pytest.mark.parametrize("kind", ["errors", "tokens"])
def test_every_preset_fires_before_its_budget_is_gone(window: str, kind: str) -> None:
    from analytics.alerting.loading import default_rules
    from analytics.budgets.durations import duration

    amount = {"objective": 0.999} if kind == "errors" else {"limit": 1.0}
    budget = Budget("b", kind, window, **amount)  # type: ignore[arg-type]  # one of the two by kind
    rules = default_rules(budget)
    assert rules
    assert all(rule.factor * duration(rule.long) < budget.length for rule in rules)
