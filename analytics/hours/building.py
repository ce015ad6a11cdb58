"""Sums hours into roll-ups: those that ended and whose rows no roll-up agrees with.

Settling a bucket again empties its hour (``store.writing``), so this may run at any time and as often as one likes,
beside settlement: an hour whose rows change while they are summed is left for the next time.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import pyarrow as pa

from analytics.hours import sums
from store.calendar import NANOSECONDS_PER_DAY, NANOSECONDS_PER_HOUR
from store.writing import Store

TRIES: Final = 3
_HOUR: Final = "date_trunc('hour', started_at)"
_PRESENT: Final = f"""
    SELECT DISTINCT bucket_ns // {NANOSECONDS_PER_HOUR} * {NANOSECONDS_PER_HOUR} AS hour_ns
    FROM {{rows}}_bucketed WHERE bucket_ns < $before
    EXCEPT SELECT bucket_ns FROM {{hours}}_bucketed"""
_WITHOUT_SLOTS: Final = f"""
    EXCEPT SELECT bucket_ns // {NANOSECONDS_PER_HOUR} * {NANOSECONDS_PER_HOUR} FROM (
        SELECT bucket_ns FROM manifest WHERE relation IN ('attempt_energy', 'energy_intervals')
        EXCEPT SELECT bucket_ns FROM manifest WHERE relation = 'energy_spent')"""
_PLACED: Final = "SELECT 1000 * epoch_us(started_at) AS bucket_ns, * FROM ({select})"


def roll_up(store: Store, before_ns: int) -> int:
    """Sum what lacks its sums of the hours that ended before ``before_ns``; returns how many. Raises ``StoreError``."""
    summed = 0
    for hours in _by_day(store, _PRESENT.format(rows="requests", hours="request_hours"), before_ns):
        summed += _replace(store, hours, _request_sums())
    for hours in _by_day(store, _PRESENT.format(rows="energy_spent", hours="energy_hours") + _WITHOUT_SLOTS, before_ns):
        summed += _replace(store, hours, {"energy_hours": [sums.energy(_rows("energy_spent"), _HOUR)]})
    return summed


def _by_day(store: Store, sql: str, before_ns: int) -> Iterator[list[int]]:
    """The hours that ``sql`` finds, the newest day first: what is asked most is fast first."""
    whole = before_ns // NANOSECONDS_PER_HOUR * NANOSECONDS_PER_HOUR
    found = sorted(store.query(sql, {"before": whole})["hour_ns"].to_pylist(), reverse=True)
    for _, hours in groupby(found, lambda hour: hour // NANOSECONDS_PER_DAY):
        yield list(hours)


def _request_sums() -> dict[str, list[str]]:
    rows = _rows("requests")
    steps = [sums.steps(name, rows, _HOUR) for name in sums.duration_names()]
    return {
        "request_hours": [f"SELECT * EXCLUDE (run_id) FROM ({sums.requests(rows, _HOUR)})"],
        "duration_hours": steps,
    }


def _rows(relation: str) -> str:
    return (
        f"(SELECT * FROM {relation}_bucketed WHERE bucket_ns >= $low AND bucket_ns < $high"
        f" AND list_contains($hours::BIGINT[], bucket_ns // {NANOSECONDS_PER_HOUR} * {NANOSECONDS_PER_HOUR}))"
    )


def _replace(store: Store, hours: list[int], selects: dict[str, list[str]]) -> int:
    """Write the sums of ``hours`` of one day, unless they changed meanwhile; returns how many hours were written."""
    named = {"hours": hours, "low": min(hours), "high": max(hours) + NANOSECONDS_PER_HOUR}
    for _ in range(TRIES):
        generation = store.generation
        tables = {
            relation: pa.concat_tables([store.query(_PLACED.format(select=one), named) for one in each])
            for relation, each in selects.items()
        }
        if store.replace_buckets(tables, dict.fromkeys(selects, hours), as_of=generation):
            return len(hours)
    return 0
