"""Builds the month day by day through the store's own door, to lie on disk as settlement and upkeep leave it:
buckets of ten seconds, slots of energy, hours summed, days closed.
"""

from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.hours.building import roll_up
from analytics.relations.settlement import BUCKET_NS
from store import compaction
from store.calendar import NANOSECONDS_PER_DAY
from store.writing import Store

DAYS: Final = 30
FOLLOWING: Final = ("attempts", "attempt_energy", "energy_intervals", "energy_spent")
"""Relations made from those before them."""
_US: Final = timedelta(microseconds=1)


def month(store: Store, count: int, end: datetime) -> None:
    """``count`` settled requests over the ``DAYS`` days before ``end`` (UTC midnight), with attempts and energy."""
    per_day = count // DAYS
    for number in range(DAYS):
        start = end - timedelta(days=DAYS - number)
        _write(store, "requests", start, {"first": number * per_day, "count": per_day, "day_us": _us(start)})
        for relation in FOLLOWING:
            _write(store, relation, start, {"start": start, "end": start + timedelta(days=1)})
        day = _us(start) * 1000 // NANOSECONDS_PER_DAY
        roll_up(store, (day + 1) * NANOSECONDS_PER_DAY)
        compaction.close(store, day + 1)
    store.checkpoint()


def _write(store: Store, relation: str, start: datetime, named: dict[str, Any]) -> None:
    rows = store.query(resources.files("bench.month").joinpath(f"{relation}.sql").read_text(encoding="utf-8"), named)
    first = _us(start) * 1000
    buckets = range(first, first + NANOSECONDS_PER_DAY, BUCKET_NS)
    store.replace_buckets({relation: _bucketed(rows)}, {relation: buckets})


def _bucketed(rows: pa.Table) -> pa.Table:
    started_ns = pc.multiply(rows["started_at"].cast(pa.timestamp("us")).cast(pa.int64()), 1000)
    return rows.append_column("bucket_ns", pc.multiply(pc.divide(started_ns, BUCKET_NS), BUCKET_NS))


def _us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1)) / _US)
