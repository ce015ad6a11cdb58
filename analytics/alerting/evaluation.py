"""Rules over budgets at one moment: firing, ok, or insufficient data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from analytics.alerting.rule import Rule
from analytics.budgets import Budget, Spending, burn_rate, contributors, spending
from analytics.budgets.durations import duration
from analytics.budgets.spending import Contributor
from analytics.metric import Queries

EXIT_OK: Final = 0
EXIT_FIRING: Final = 1
EXIT_CANNOT_TELL: Final = 2


class State(StrEnum):
    """What a rule says."""

    FIRING = "firing"
    OK = "ok"
    INSUFFICIENT_DATA = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule at one moment, with the numbers that decided and, when it fires, who burned the budget."""

    rule: Rule
    budget: Budget
    at: datetime
    state: State
    long_burn: float | None
    short_burn: float | None
    long_spending: Spending
    contributors: tuple[Contributor, ...]


def evaluate(reader: Queries, rules: Iterable[Rule], budgets: Iterable[Budget], at: datetime) -> list[Finding]:
    """One finding per rule at ``at`` (UTC without a zone), in the order of ``rules``. Raises ``StoreError``."""
    by_name = {budget.name: budget for budget in budgets}
    return [_evaluate(reader, rule, by_name[rule.budget], at) for rule in rules]


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when any rule fires, else 2 when there is none or any cannot tell, else 0."""
    states = {finding.state for finding in findings}
    if State.FIRING in states:
        return EXIT_FIRING
    return EXIT_OK if states == {State.OK} else EXIT_CANNOT_TELL


def _evaluate(reader: Queries, rule: Rule, budget: Budget, at: datetime) -> Finding:
    long, short = duration(rule.long), duration(rule.short)
    over_long = spending(reader, budget, at - long, at)
    over_short = spending(reader, budget, at - short, at)
    rates = burn_rate(budget, over_long, long), burn_rate(budget, over_short, short)
    state = _state(rule, budget, over_long, *rates)
    burned_by = contributors(reader, budget, at - long, at) if state is State.FIRING else ()
    return Finding(rule, budget, at, state, *rates, over_long, burned_by)


def _state(rule: Rule, budget: Budget, used: Spending, long_burn: float | None, short_burn: float | None) -> State:
    if long_burn is None or used.spent is None or used.events < rule.min_events:
        return State.INSUFFICIENT_DATA
    if min(long_burn, short_burn or 0.0) < rule.factor:
        return State.OK
    decisive = used.spent if budget.is_errors else used.events
    return State.FIRING if decisive >= rule.min_events else State.INSUFFICIENT_DATA
