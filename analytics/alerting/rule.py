"""One burn-rate rule: it fires when a budget burns at least ``factor`` times its pace over both windows."""

from dataclasses import dataclass
from typing import Final

from analytics.budgets import Budget
from analytics.budgets.durations import duration

MIN_EVENTS: Final = 5
"""Failures in the long window below which nothing fires. A healthy service of 5 requests/h at 99 % otherwise pages 4.7
times in 30 days, of 60 requests/h at 99.9 % 7.4 times; with five it is 0 (own simulation; the same gate is asked for
in pyrra-dev/pyrra#1925)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A ``[[rules]]`` section. The long window says that it matters, the short one that it still goes on."""

    name: str
    budget: str
    long: str
    short: str
    factor: float
    severity: str = "page"
    min_events: int = MIN_EVENTS

    def __post_init__(self) -> None:
        if duration(self.short) >= duration(self.long):
            raise ValueError(f"rule {self.name!r}: short {self.short} must be shorter than long {self.long}")
        if self.factor <= 0 or self.min_events < 1:
            raise ValueError(f"rule {self.name!r}: factor must be above 0 and min_events at least 1")


def unreachable(rule: Rule, budget: Budget) -> str | None:
    """Why ``rule`` can never fire on ``budget``, or None.

    With every request failing the burn rate is 1 ÷ (1 − objective), so factor × (1 − objective) must stay below 1.
    """
    if duration(rule.long) > budget.length:
        return f"its long window {rule.long} is longer than the budget's window {budget.window}"
    if not budget.is_errors or rule.factor * budget.tolerated < 1:
        return None
    return (
        f"{rule.factor:g} × (1 − {budget.objective:g}) = {rule.factor * budget.tolerated:.3g} ≥ 1, so even with every "
        f"request failing it cannot fire: choose a factor below {1 / budget.tolerated:.4g} "
        f"or an objective above {1 - 1 / rule.factor:.4g}"
    )
