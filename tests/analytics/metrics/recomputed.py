"""Every metric once more in plain Python over the same rows, to check the SQL against."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics.metric import Dimension, Filters, Window

Row = dict[str, Any]
Key = tuple[Any, ...]
HITS = ("exact", "semantic")


class Scope:
    """The rows of one question: window, filters, groups and buckets, and the key of each row."""

    def __init__(
        self,
        rows: dict[str, list[Row]],
        window: Window,
        by: tuple[Dimension, ...],
        filters: Filters,
        bucket_s: int | None,
    ) -> None:
        self.window, self.by, self.filters, self.bucket_s = window, by, filters, bucket_s
        self.owners = {row["request_id"]: row for row in rows["requests"]}
        self.requests = [row for row in rows["requests"] if self._inside(row) and self._passes(row)]
        self.spent = [row for row in rows["attempt_energy"] if self._inside(row) and self._passes(self._owner(row))]
        self.intervals = [row for row in rows["energy_intervals"] if self._inside(row) and filters == Filters()]
        self.outcomes = {(row["request_id"], row["attempt"]): row["outcome"] for row in rows["attempts"]}

    def key(self, row: Row) -> Key:
        model = row.get("model_served") or row.get("model_requested")
        found = {"tier": row.get("tier"), "tenant": row.get("tenant"), "model": model}
        return (self.bucket(row), *(found[name] if name in self.by else None for name in ("tier", "tenant", "model")))

    def spent_key(self, row: Row) -> Key:
        return self.key({**self._owner(row), "started_at": row["started_at"]})

    def nobody_key(self, row: Row) -> Key:
        return (self.bucket(row), None, None, None)

    def bucket(self, row: Row) -> datetime | None:
        if self.bucket_s is None:
            return None
        midnight = row["started_at"].replace(hour=0, minute=0, second=0, microsecond=0)
        passed = int((row["started_at"] - midnight).total_seconds())
        begun: datetime = midnight + timedelta(seconds=passed - passed % self.bucket_s)
        return begun

    def seconds(self, bucket: datetime | None) -> float:
        if bucket is None or self.bucket_s is None:
            return self.window.seconds
        until = min(bucket + timedelta(seconds=self.bucket_s), self.window.end)
        return (until - max(bucket, self.window.start)).total_seconds()

    def owner_success(self, row: Row) -> bool:
        return bool(self._owner(row)["success"])

    def _owner(self, row: Row) -> Row:
        return self.owners[row["request_id"]]

    def _inside(self, row: Row) -> bool:
        return bool(self.window.start <= row["started_at"] < self.window.end)

    def _passes(self, row: Row) -> bool:
        model = row["model_served"] or row["model_requested"]
        pairs = (
            (self.filters.tiers, row["tier"]),
            (self.filters.tenants, row["tenant"]),
            (self.filters.models, model),
            (self.filters.runs, row["run_id"]),
        )
        return all(not wanted or value in wanted for wanted, value in pairs)


def answer(name: str, scope: Scope) -> dict[Key, float | None]:
    """Value by key (bucket, tier, tenant, model, and origin or part where the metric has it)."""
    if name in ENERGY:
        return ENERGY[name](scope)
    chosen, value = REQUESTS[name]
    keyed = grouped(scope.requests, chosen, lambda row: (*scope.key(row), *_origin(name, row)))
    return {key: value(rows, scope.seconds(key[0])) for key, rows in keyed.items()}


def grouped(rows: Iterable[Row], chosen: Callable[[Row], bool], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        if chosen(row):
            found[key(row)].append(row)
    return found


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _origin(name: str, row: Row) -> Key:
    return (row["first_token_origin"],) if name.startswith("ttft") else ()


def _quantile(column: str, share: float) -> Callable[[list[Row], float], float | None]:
    return lambda rows, _: float(np.quantile([row[column] for row in rows], share))


def _rate(test: Callable[[Row], bool]) -> Callable[[list[Row], float], float | None]:
    return lambda rows, _: sum(map(test, rows)) / len(rows)


def _has_first_token(row: Row) -> bool:
    return row["ttft_s"] is not None and (row["first_token_origin"] == "engine" or row["streamed"] is not False)


def _known(column: str) -> Callable[[Row], bool]:
    return lambda row: row[column] is not None


def _success(row: Row) -> bool:
    return bool(row["success"])


Rule = tuple[Callable[[Row], bool], Callable[[list[Row], float], float | None]]

REQUESTS: dict[str, Rule] = {
    **{f"ttft_p{p}": (_has_first_token, _quantile("ttft_s", p / 100)) for p in (50, 95, 99)},
    **{f"e2e_p{p}": (_success, _quantile("e2e_s", p / 100)) for p in (50, 95, 99)},
    **{f"tpot_p{p}": (_known("tpot_s"), _quantile("tpot_s", p / 100)) for p in (50, 95)},
    "queue_p95": (_known("queue_s"), _quantile("queue_s", 0.95)),
    "itl_p95": (
        lambda row: bool(row["itl_s"]),
        lambda rows, _: float(np.quantile([gap for row in rows for gap in row["itl_s"]], 0.95)),
    ),
    "error_rate": (lambda _: True, _rate(lambda row: not row["success"])),
    "response_cache_hit_rate": (_known("cache_result"), _rate(lambda row: row["cache_result"] in HITS)),
    "prefix_cache_hit_rate": (
        lambda row: row["cached_input_tokens"] is not None and row["input_tokens"] is not None,
        lambda rows, _: ratio(
            sum(row["cached_input_tokens"] for row in rows), sum(row["input_tokens"] for row in rows)
        ),
    ),
    "requests_per_second": (lambda _: True, lambda rows, seconds: len(rows) / seconds),
    "tokens_per_second": (
        _known("output_tokens"),
        lambda rows, seconds: sum(row["output_tokens"] for row in rows) / seconds,
    ),
    "active_energy_per_successful_token": (
        lambda row: row["success"] and (row["energy_j"] is not None or row["cache_result"] in HITS),
        lambda rows, _: ratio(total(row["energy_j"] for row in rows), total(row["output_tokens"] for row in rows)),
    ),
}


def _energy(scope: Scope) -> dict[Key, float | None]:
    found: dict[Key, float] = defaultdict(float)
    for row in scope.spent:
        found[(*scope.spent_key(row), "successful" if scope.owner_success(row) else "failed")] += row["joules"]
    for row in scope.intervals:
        rest = "overhead" if row["unattributed_reason"] == "overhead" else "unattributed"
        found[(*scope.nobody_key(row), "idle")] += row["idle_j"]
        found[(*scope.nobody_key(row), rest)] += row["unattributed_j"]
    return dict(found)


def _wasted(scope: Scope) -> dict[Key, float | None]:
    found: dict[Key, float] = defaultdict(float)
    for row in scope.spent:
        wasted = not scope.owner_success(row) or scope.outcomes[row["request_id"], row["attempt"]] != "answered"
        found[scope.spent_key(row)] += row["joules"] if wasted else 0.0
    return dict(found)


PARTS = {"idle": "idle", "overhead": "unattributed", "unattributed": "unattributed"}


def _per_token(scope: Scope) -> dict[Key, float | None]:
    fleet = not scope.by and scope.filters == Filters()
    joules: dict[Key, float] = defaultdict(float)
    for key, value in _energy(scope).items():
        part = "total" if fleet else PARTS.get(key[4], "attributed")
        joules[(*key[:4], part)] += value or 0.0
    own = "total" if fleet else "attributed"
    tokens = {
        (*key, own): total(row["output_tokens"] for row in rows if row["success"])
        for key, rows in grouped(scope.requests, lambda _: True, scope.key).items()
    }
    of_all = {
        (bucket, part): total(count for key, count in tokens.items() if key[0] == bucket)
        for bucket in {key[0] for key in (*tokens, *joules)}
        for part in ("idle", "unattributed")
    }
    return {
        key: ratio(joules.get(key), of_all[key[0], key[4]] if key[4] in ("idle", "unattributed") else tokens.get(key))
        for key in {*tokens, *joules}
    }


ENERGY: dict[str, Callable[[Scope], dict[Key, float | None]]] = {
    "energy": _energy,
    "wasted_energy": _wasted,
    "energy_per_successful_token": _per_token,
}
