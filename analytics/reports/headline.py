"""The headline numbers of a window: value, the period before beside it, and the course over time.

The fifth number of the mission, budget burn, comes from ``analytics.budgets`` because it has a window of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from analytics import metric
from analytics.metric import Filters, Queries, Window

NAMES: Final = ("energy_per_successful_token", "ttft_p95", "e2e_p95", "response_cache_hit_rate")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Number:
    """One metric without groups. ``value`` is None where it is not known; ``n`` counts the requests behind it.

    ``origin`` says who saw the first token (TTFT only), ``part`` which joules count and ``quality`` their provenance
    (energy only). ``series`` has one pair per time bucket that has data.
    """

    name: str
    title: str
    unit: str
    better: str
    value: float | None
    previous: float | None
    n: int
    origin: str | None = None
    part: str | None = None
    quality: str | None = None
    series: tuple[tuple[datetime, float | None], ...] = ()


def number(
    reader: Queries, name: str, window: Window, filters: Filters | None = None, bucket_s: float | None = None
) -> Number:
    """One metric over ``window`` and the window before it; its course too when ``bucket_s`` is given."""
    told = metric.load(name)
    chosen = filters or Filters()
    now = _most(metric.run(reader, name, window, (), chosen).to_pylist())
    origin = now.get("origin")
    before = _most(_of(origin, metric.run(reader, name, window.previous, (), chosen).to_pylist()))
    course = _of(origin, metric.run(reader, name, window, (), chosen, bucket_s).to_pylist()) if bucket_s else []
    return Number(
        name=name,
        title=told.title,
        unit=told.unit,
        better=told.better,
        value=now.get("value"),
        previous=before.get("value"),
        n=int(now.get("n") or 0),
        origin=origin,
        part=now.get("part"),
        quality=now.get("quality"),
        series=tuple((row["bucket"], row["value"]) for row in course),
    )


def numbers(
    reader: Queries, window: Window, filters: Filters | None = None, bucket_s: float | None = None
) -> list[Number]:
    """The four headline numbers that are metrics, in the mission's order."""
    return [number(reader, name, window, filters, bucket_s) for name in NAMES]


def _most(rows: Sequence[Row]) -> Row:
    """The row with the most requests behind it: origins are never mixed, so one of them is shown and named."""
    return max(rows, key=lambda row: row["n"], default={})


def _of(origin: str | None, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("origin") == origin]
