"""What a budget's requests spent in a window, in total and by whom, read by the SQL file of its kind."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from analytics.budgets.budget import Budget
from analytics.metric import Queries
from conventions import plugins

SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Spending:
    """Spent in one window, in the budget's unit (failed requests for errors); None without any data."""

    spent: float | None
    events: int
    """Requests, or meter readings for the energy of a whole fleet."""


@dataclass(frozen=True, slots=True)
class Contributor:
    """Who spent how much of it."""

    dimension: Literal["tenant", "model"]
    value: str
    spent: float
    share: float


def spending(reader: Queries, budget: Budget, start: datetime, end: datetime) -> Spending:
    """The total in [``start``, ``end``), UTC without a zone. Raises ``StoreError``."""
    rows = _rows(reader, budget, start, end, [])
    return Spending(rows[0]["spent"], rows[0]["events"]) if rows else Spending(None, 0)


def contributors(reader: Queries, budget: Budget, start: datetime, end: datetime) -> tuple[Contributor, ...]:
    """The tenants and models that spent most in the window, largest first, tenants before models."""
    dimensions: tuple[Literal["tenant", "model"], ...] = ("tenant", "model")
    found: list[Contributor] = []
    for dimension in dimensions:
        rows = [row for row in _rows(reader, budget, start, end, [dimension]) if row["spent"]]
        total = sum(row["spent"] for row in rows)
        rows.sort(key=lambda row: (-row["spent"], str(row[dimension])))
        found += [
            Contributor(dimension, row[dimension] or "unknown", row["spent"], row["spent"] / total)
            for row in rows[:SHOWN]
        ]
    return tuple(found)


def _rows(reader: Queries, budget: Budget, start: datetime, end: datetime, by: list[str]) -> list[dict[str, Any]]:
    window = {"start": start, "end": end, "tenant": budget.tenant, "tier": budget.tier, "by": by}
    rows: list[dict[str, Any]] = reader.query(_statement(budget.kind), window).to_pylist()
    return rows


def _statement(kind: str) -> str:
    """The file of ``kind``, with the relation ``spent`` where it asks for it."""
    return _text(kind).replace("{spent}", _text("_spent"))


def _text(name: str) -> str:
    return plugins.text("analytics.budgets", name, ".sql", "kind of budget")
