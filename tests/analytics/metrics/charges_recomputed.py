"""The metrics of carbon and cost once more in plain Python, from intervals that carry charges."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from analytics.metric import Filters
from tests.analytics.metrics.recomputed import Key, Row, Scope, grouped, ratio, total

SUMS = ("co2e_g", "co2e_embodied_g", "cost_energy", "cost_device")
NOBODYS = {"idle": "idle", "overhead": "unattributed", "unattributed": "unattributed"}


@dataclass
class Spent:
    """What one group and part was charged."""

    entries: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def sum_of(self, name: str) -> float | None:
        return total(charge.get(name) for _, charge in self.entries)

    def labels(self, name: str) -> set[str]:
        return {charge[name] for _, charge in self.entries if charge.get(name) is not None}

    def covered(self, name: str) -> float:
        joules = sum(joules for joules, _ in self.entries)
        known = sum(joules for joules, charge in self.entries if charge.get(name) is not None)
        return known / joules if joules else 0.0


def _entries(scope: Scope, intervals: list[Row]) -> list[tuple[Key, str, float, dict[str, Any]]]:
    moments: dict[Any, list[Row]] = defaultdict(list)
    for row in intervals:
        if scope.window.start <= row["started_at"] < scope.window.end:
            moments[row["started_at"]].append(row)
    found = []
    for row in scope.spent:
        part = "successful" if scope.owner_success(row) else "failed"
        found.append((scope.spent_key(row), part, row["joules"], _carried(moments[row["started_at"]], row["joules"])))
    for row in scope.intervals:
        rest = "overhead" if row["unattributed_reason"] == "overhead" else "unattributed"
        for part, joules, alone in (("idle", row["idle_j"], 0.0), (rest, row["unattributed_j"], 1.0)):
            share = joules / row["total_j"] if row["total_j"] else alone
            charge = {name: _times(row.get(name), share) for name in SUMS}
            found.append((scope.nobody_key(row), part, joules, charge | _labels(row)))
    return found


def _carried(rows: list[Row], joules: float) -> dict[str, Any]:
    """The charge of a request's joules: those of its interval, per joule."""
    whole = sum(row["total_j"] for row in rows)
    if not rows:
        return {}
    sums = {name: total(row.get(name) for row in rows) for name in SUMS}
    return {name: _times(value, joules / whole) if whole else None for name, value in sums.items()} | _labels(rows[0])


def _labels(row: Row) -> dict[str, Any]:
    return {"basis": row.get("grid_basis"), "currency": row.get("currency")}


def _times(value: float | None, share: float) -> float | None:
    return None if value is None else value * share


def _balance(scope: Scope, intervals: list[Row]) -> dict[Key, tuple[Spent, list[Row]]]:
    """What was spent and which requests earned it, by key and part."""
    fleet = not scope.by and scope.filters == Filters()
    own = "total" if fleet else "attributed"
    spent: dict[Key, Spent] = defaultdict(Spent)
    for key, part, joules, charge in _entries(scope, intervals):
        spent[(*key, own if fleet else NOBODYS.get(part, own))].entries.append((joules, charge))
    earned = {(*key, own): rows for key, rows in grouped(scope.requests, lambda _: True, scope.key).items()}
    found = {}
    for key in {*spent, *earned}:
        of_all = [row for row in scope.requests if scope.bucket(row) == key[0]]
        found[key] = (spent.get(key, Spent()), earned.get(key, []) if key[4] == own else of_all)
    return found


def _tokens(rows: list[Row]) -> float | None:
    return total(row["output_tokens"] for row in rows if row["success"])


def _grams(spent: Spent) -> float | None:
    known = len(spent.labels("basis")) <= 1 and spent.covered("co2e_g") > 1 - 1e-9
    return spent.sum_of("co2e_g") if known else None


def _co2e(spent: Spent, rows: list[Row], _: bool) -> float | None:
    grams = ratio(_grams(spent), _tokens(rows))
    return None if grams is None else 1000 * grams


def _sci(spent: Spent, rows: list[Row], _: bool) -> float | None:
    operational, embodied = _grams(spent), spent.sum_of("co2e_embodied_g")
    return None if operational is None or embodied is None else ratio(operational + embodied, _tokens(rows))


def _money(spent: Spent, rows: list[Row], owns: bool) -> float | None:
    tokens = total(row["cost_tokens"] for row in rows) if owns else None
    paid = {row["currency"] for row in rows if row["cost_tokens"] is not None} if owns else set()
    parts = [spent.sum_of("cost_energy"), spent.sum_of("cost_device"), tokens]
    some = 1e-9 <= spent.covered("currency") <= 1 - 1e-9
    return total(parts) if len(spent.labels("currency") | paid) == 1 and not some else None


def _per_request(spent: Spent, rows: list[Row], owns: bool) -> float | None:
    return ratio(_money(spent, rows, owns), len(rows))


def _per_million(spent: Spent, rows: list[Row], owns: bool) -> float | None:
    money = ratio(_money(spent, rows, owns), _tokens(rows))
    return None if money is None else 1e6 * money


def _by_balance(
    value: Callable[[Spent, list[Row], bool], float | None],
) -> Callable[[Scope, list[Row]], dict[Key, float | None]]:
    def answer(scope: Scope, intervals: list[Row]) -> dict[Key, float | None]:
        return {
            key: value(spent, rows, key[4] in ("total", "attributed"))
            for key, (spent, rows) in _balance(scope, intervals).items()
        }

    return answer


def _intensity(scope: Scope, intervals: list[Row]) -> dict[Key, float | None]:
    rows: dict[Key, list[Row]] = defaultdict(list)
    for row in intervals:
        if scope.window.start <= row["started_at"] < scope.window.end and row.get("grid_basis"):
            rows[(scope.bucket(row), None, None, None, row["grid_basis"])].append(row)
    return {
        key: ratio(sum(row["grid_g_per_kwh"] * row["total_j"] for row in found), sum(row["total_j"] for row in found))
        for key, found in rows.items()
    }


CHARGES: dict[str, Callable[[Scope, list[Row]], dict[Key, float | None]]] = {
    "co2e_per_1k_successful_tokens": _by_balance(_co2e),
    "sci_per_token": _by_balance(_sci),
    "cost_per_request": _by_balance(_per_request),
    "cost_per_million_tokens": _by_balance(_per_million),
    "carbon_intensity": _intensity,
}
