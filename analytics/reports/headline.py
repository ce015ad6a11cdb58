"""The headline numbers of a window: value, the period before beside it, and the course over time.

The fifth number of the mission, budget burn, comes from ``analytics.budgets`` because it has a window of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from analytics import metric, together
from analytics.metric import Filters, Queries, Window
from analytics.together import Question

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
    return _number(name, *together.answers(reader, _questions(name, window, filters or Filters(), bucket_s)))


def numbers(
    reader: Queries, window: Window, filters: Filters | None = None, bucket_s: float | None = None
) -> list[Number]:
    """The four headline numbers that are metrics, in the mission's order."""
    return told(together.answers(reader, questions(window, filters or Filters(), bucket_s)))


def questions(window: Window, filters: Filters, bucket_s: float | None) -> list[Question]:
    """What ``numbers`` asks, for ``told``."""
    return [question for name in NAMES for question in _questions(name, window, filters, bucket_s)]


def told(answers: Sequence[pa.Table]) -> list[Number]:
    """The numbers from the answers to ``questions``."""
    size, left = len(answers) // len(NAMES), iter(answers)
    return [_number(name, *islice(left, size)) for name in NAMES]


def _questions(name: str, window: Window, filters: Filters, bucket_s: float | None) -> list[Question]:
    """The window, the one before it, and the course if there are buckets."""
    asked = [Question(name, each, filters=filters) for each in (window, window.previous)]
    return [*asked, Question(name, window, filters=filters, bucket_s=bucket_s)] if bucket_s else asked


def _number(name: str, of_window: pa.Table, of_previous: pa.Table, of_course: pa.Table | None = None) -> Number:
    about = metric.load(name)
    now = _most(of_window.to_pylist())
    origin = now.get("origin")
    before = _most(_of(origin, of_previous.to_pylist()))
    course = _of(origin, of_course.to_pylist()) if of_course is not None else []
    return Number(
        name=name,
        title=about.title,
        unit=about.unit,
        better=about.better,
        value=now.get("value"),
        previous=before.get("value"),
        n=int(now.get("n") or 0),
        origin=origin,
        part=now.get("part"),
        quality=now.get("quality"),
        series=tuple((row["bucket"], row["value"]) for row in course),
    )


def _most(rows: Sequence[Row]) -> Row:
    """The row with the most requests behind it: origins are never mixed, so one of them is shown and named."""
    return max(rows, key=lambda row: row["n"], default={})


def _of(origin: str | None, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("origin") == origin]
