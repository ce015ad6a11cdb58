"""What a metric's SQL stands on: common table expressions over rows or over roll-ups, chosen by what is asked.

The text depends on the question's shape only (its times and names are parameters), so that it is the same over HTTP.
Both choices answer the same, but for percentiles of many values, which roll-ups know within 1 % (``analytics.hours``).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import pyarrow as pa

from analytics import hours
from analytics import idling as idle_policy
from conventions import plugins


class Queries(Protocol):
    """What a metric needs of a store: a ``store.reading.Reader`` or the ``Store`` itself."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run one statement with named parameters."""


SLOT_S: Final = 10
_COUNTED: Final = ("requests", "gaps")
ROLLED_UP_FROM: Final = timedelta(hours=6)
"""Shorter windows are read from rows: they are few, and it takes longer to plan for both."""
EXACT_VALUES: Final = 500_000
"""Up to so many values in the window a percentile over hours is taken from each of them: about there, measured, rows
begin to take longer than steps (by tier and hour; of gaps between tokens and without buckets they do sooner)."""
_SIZES: Final = """
    SELECT CAST(coalesce(sum(requests), 0) AS BIGINT) AS requests, CAST(coalesce(sum(gaps), 0) AS BIGINT) AS gaps,
           EXISTS(
               SELECT bucket_ns FROM manifest
               WHERE relation IN ('attempt_energy', 'energy_intervals')
                 AND bucket_ns > 1000 * epoch_us(list_min(CAST($starts AS TIMESTAMP[]))) - 60_000_000_000
                 AND bucket_ns < 1000 * epoch_us(list_max(CAST($ends AS TIMESTAMP[])))
               EXCEPT
               SELECT bucket_ns FROM manifest WHERE relation = 'energy_spent'
           ) AS lacking
    FROM (SELECT unnest(CAST($starts AS TIMESTAMP[])) AS first, unnest(CAST($ends AS TIMESTAMP[])) AS last) asked
    LEFT JOIN request_hours r ON r.started_at >= asked.first AND r.started_at + INTERVAL 1 HOUR <= asked.last
    GROUP BY first, last
    ORDER BY first, last"""
DURATION_HOURS: Final = "duration_hours"
SLOTS: Final = "energy_spent"
PRECISION: Final = (
    f"Exact; in a window of {ROLLED_UP_FROM.seconds // 3600} hours or more and buckets of whole hours, over more than "
    f"{EXACT_VALUES:,} requests (or gaps), within 1 % (steps of 2 %): relative_error says which."
)

_PACKAGE: Final = "analytics.metrics"
_BUCKET: Final = "bucket(started_at, CAST($bucket_s AS DOUBLE))"
_IN_WINDOW: Final = "started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)"


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a question: whether hours can answer it, and slots of energy.

    ``many`` names the columns of ``request_hours`` that add up to over ``EXACT_VALUES``: durations that these count are
    read by step. ``lacking``: a bucket may have joules and no slots of them, as an old release settled it.
    """

    by_hour: bool = False
    by_slot: bool = True
    many: frozenset[str] = frozenset()
    lacking: bool = True

    @classmethod
    def of(cls, start: datetime, end: datetime, bucket_s: float | None, runs: tuple[str, ...]) -> "Shape":
        """The shape of a question about [start, end) in buckets, cut to ``runs`` if there are any."""
        by_slot = all(_divides(SLOT_S, part) for part in (_seconds(start), _seconds(end), bucket_s or 0.0))
        whole = end - start >= ROLLED_UP_FROM and _divides(hours.HOUR_S, bucket_s or 0.0)
        return cls(by_slot and whole and not runs, by_slot)

    def asks(self, needs: Collection[str]) -> bool:
        """Whether a question that ``needs`` these relations is cheaper when the store was asked for its ``Known``."""
        return (self.by_hour and DURATION_HOURS in needs) or (self.by_slot and SLOTS in needs)

    def knowing(self, known: "Known") -> "Shape":
        """The shape with what the store said of its window."""
        return replace(self, many=known.many if self.by_hour else frozenset(), lacking=known.lacking)


@dataclass(frozen=True, slots=True)
class Known:
    """Of a window: the fields of ``Shape`` that the store tells."""

    many: frozenset[str]
    lacking: bool


Bounds = tuple[datetime, datetime]
ANY_SHAPE: Final = Shape()
"""What rows and slots answer."""


def known(reader: Queries, windows: Collection[Bounds]) -> dict[Bounds, Known]:
    """What the store says of each of ``windows``.

    It does so before the statement, because planning to read either way takes longer than asking. Rows that are settled
    in between change the choice at most, and both are right: whatever is settled by now has its slots.
    """
    asked = sorted(set(windows))
    if not asked:
        return {}
    named = {"starts": [start.isoformat() for start, _ in asked], "ends": [end.isoformat() for _, end in asked]}
    sizes = reader.query(_SIZES, named).to_pylist()
    told = (Known(frozenset(name for name in _COUNTED if row[name] > EXACT_VALUES), row["lacking"]) for row in sizes)
    return dict(zip(asked, told, strict=True))


def of_requests(sql: str, shape: Shape, idle: str) -> str:
    """The ``WITH`` clause before ``sql``, a metric of requests or energy, under the policy ``idle``."""
    tallied = hours.requests("loose_requests", _BUCKET) if shape.by_hour else _tallied_rows()
    told = _text("_by_hour" if shape.by_hour else "_by_row").replace("{tallies}", tallied)
    finest = _text("_parts").replace("{open}", "_open" if shape.by_slot else "")
    parts = finest if shape.lacking or not shape.by_slot else _text("_slots")
    named = [name for name in hours.duration_names() if f"{name}_durations" in sql]
    pieces = ["WITH", _text("_requests"), told, *(_durations(name, shape) for name in named)]
    return _scoped("\n".join([*pieces, parts, _text("_shares"), idle_policy.fragment(idle), _text("_balance")]))


def of_jobs() -> str:
    """The ``WITH`` clause before a metric of training and batch jobs."""
    return _text("_jobs")


def _tallied_rows() -> str:
    return hours.requests(f"(SELECT * FROM requests_measured WHERE {_IN_WINDOW})", _BUCKET, run="run_id")


def _durations(name: str, shape: Shape) -> str:
    by_step = hours.counted(name) in shape.many
    template = _text("_durations_by_hour" if by_step else "_durations_by_row").replace("{duration}", name)
    return re.sub(r"\{values of (\w+)\}", lambda found: hours.values(name, found[1]), template)


def _scoped(text: str) -> str:
    """``{scoped rows}`` becomes those rows cut to the filters, with the group of each."""
    scope = _text("_scoped")
    return re.sub(r"\{scoped ([^{}]+)\}", lambda found: scope.replace("{rows}", found[1]), text)


def _seconds(moment: datetime) -> float:
    return moment.second + moment.microsecond / 1e6


def _divides(width: int, seconds: float) -> bool:
    return seconds % width == 0


def _text(name: str) -> str:
    return plugins.text(_PACKAGE, name, ".sql", "metric")
