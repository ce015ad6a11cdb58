"""Builds the month day by day through the store's own door, to lie on disk as settlement and upkeep leave it."""

from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Final

import pyarrow as pa

from analytics.hours.building import roll_up
from analytics.ledger.spending import spent
from store import compaction
from store.calendar import NANOSECONDS_PER_DAY
from store.writing import Store

DAYS: Final = 30
MINUTE_NS: Final = 60_000_000_000
_US: Final = timedelta(microseconds=1)


def month(store: Store, count: int, end: datetime) -> None:
    """``count`` settled requests over the ``DAYS`` days before ``end`` (UTC midnight), with attempts and energy."""
    per_day = count // DAYS
    for number in range(DAYS):
        start = end - timedelta(days=DAYS - number)
        named = {"first": number * per_day, "count": per_day, "day_us": round((start - datetime(1970, 1, 1)) / _US)}
        requests = _write(store, "requests", start, named)
        window = {"start": start, "end": start + timedelta(days=1)}
        attempts = _write(store, "attempts", start, window)
        energy = _write(store, "attempt_energy", start, window)
        intervals = _write(store, "energy_intervals", start, window)
        _replace(store, "energy_spent", start, spent(energy, requests, attempts, intervals))
    day = (end - datetime(1970, 1, 1)).days
    roll_up(store, day * NANOSECONDS_PER_DAY)
    compaction.close(store, day)
    store.checkpoint()


def _write(store: Store, relation: str, start: datetime, parameters: dict[str, Any]) -> pa.Table:
    rows: pa.Table = store.query(_sql(relation), parameters)
    _replace(store, relation, start, rows)
    return rows


def _replace(store: Store, relation: str, start: datetime, rows: pa.Table) -> None:
    first = round((start - datetime(1970, 1, 1)) / _US) * 1000
    store.replace_buckets({relation: rows}, {relation: range(first, first + 1440 * MINUTE_NS, MINUTE_NS)})


def _sql(relation: str) -> str:
    return resources.files("bench.month").joinpath(f"{relation}.sql").read_text(encoding="utf-8")
