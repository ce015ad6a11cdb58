"""Where a budget stands: spent against the pace, burn rate now, and when it runs out if that goes on.

Burn is spent ÷ allowed by now. Burn rate over a window is the speed of spending ÷ the speed that uses up the budget
exactly at the end of its window: 1 is on pace (SRE workbook, "Alerting on SLOs"). For error budgets that is the error
rate ÷ (1 − objective); for spend budgets the amount per second ÷ (limit ÷ window length).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from analytics.budgets.budget import Budget
from analytics.budgets.spending import Spending, spending
from analytics.metric import Queries

PACE_DIVISOR: Final = 12
"""The speed of now is taken over the last twelfth of the window, the workbook's ratio of short to long windows."""


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget at one moment. Amounts in the budget's unit (failed requests for errors); None: no data."""

    name: str
    kind: str
    window: str
    period_start: datetime
    spent: float | None
    limit: float
    allowed_by_now: float
    burn: float | None
    remaining: float | None
    burn_rate: float | None
    exhausted_at: datetime | None
    """When it runs out at the present burn rate; None if not before the window ends, or not known."""


def status(reader: Queries, budget: Budget, at: datetime) -> BudgetStatus:
    """Where ``budget`` stands at ``at`` (UTC without a zone). Raises ``StoreError``."""
    start = budget.period_start(at)
    used = spending(reader, budget, start, at)
    limit, allowed = _allowance(budget, used, at - start)
    rate = burn_rate(budget, spending(reader, budget, at - _pace(budget), at), _pace(budget))
    remaining = None if used.spent is None else limit - used.spent
    return BudgetStatus(
        name=budget.name,
        kind=budget.kind,
        window=budget.window,
        period_start=start,
        spent=used.spent,
        limit=limit,
        allowed_by_now=allowed,
        burn=_burn(used, allowed),
        remaining=remaining,
        burn_rate=rate,
        exhausted_at=_exhaustion(budget, at, remaining, limit, rate),
    )


def burn(reader: Queries, budget: Budget, at: datetime) -> float | None:
    """The ``burn`` of ``status`` alone, with one question instead of two. Raises ``StoreError``."""
    start = budget.period_start(at)
    used = spending(reader, budget, start, at)
    return _burn(used, _allowance(budget, used, at - start)[1])


def burn_rate(budget: Budget, used: Spending, length: timedelta) -> float | None:
    """The burn rate of ``used``, spent within ``length``; None without data."""
    if used.spent is None or not used.events:
        return None
    if budget.is_errors:
        return used.spent / used.events / budget.tolerated
    assert budget.limit is not None
    return used.spent / budget.limit * (budget.length / length)


def _burn(used: Spending, allowed: float) -> float | None:
    return used.spent / allowed if used.spent is not None and allowed > 0 else None


def _allowance(budget: Budget, used: Spending, elapsed: timedelta) -> tuple[float, float]:
    if budget.is_errors:
        tolerated = used.events * budget.tolerated
        return tolerated, tolerated
    assert budget.limit is not None
    return budget.limit, budget.limit * (elapsed / budget.length)


def _pace(budget: Budget) -> timedelta:
    return budget.length / PACE_DIVISOR


def _exhaustion(
    budget: Budget, at: datetime, remaining: float | None, limit: float, rate: float | None
) -> datetime | None:
    if remaining is None or not rate or limit <= 0:
        return None
    if remaining <= 0:
        return at
    when = at + budget.length * (remaining / limit / rate)
    end = at + budget.length if budget.is_errors else budget.period_start(at) + budget.length
    return when if when < end else None
