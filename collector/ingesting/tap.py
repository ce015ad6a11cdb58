"""Metric points on their way to the store, for probes that compute energy from what others send.

A tap keeps what came since it was last emptied, the newest ``MOST`` points of its metrics. It sees points when their
rows are made; that may happen twice, and probes leave out what is not newer than what they have.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MOST = 100_000
COLUMNS = (
    *("metric", "time_ns", "start_ns", "value", "kind", "temporality", "service", "engine"),
    *("device", "device_type", "source", "scope", "quality", "attributes", "resource"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One data point as a row of ``metric_points``; maps are dictionaries."""

    metric: str
    time_ns: int
    start_ns: int | None
    value: float
    kind: str
    temporality: str | None
    service: str | None
    engine: str | None
    device: str | None
    device_type: str | None
    source: str | None
    scope: str | None
    quality: str | None
    attributes: dict[str, str]
    resource: dict[str, str]


class Tap:
    """Points of ``metrics``. ``observe`` may be called from any thread."""

    def __init__(self, metrics: frozenset[str]) -> None:
        self._metrics = pa.array(sorted(metrics))
        self._points: deque[Point] = deque(maxlen=MOST)
        self._lock = threading.Lock()

    def observe(self, points: pa.Table) -> None:
        """Keep what is ours of a table of ``metric_points``."""
        wanted = pc.is_in(points["metric"], value_set=self._metrics)
        if not pc.any(wanted).as_py():
            return
        found = [_point(row) for row in points.filter(wanted).select(COLUMNS).to_pylist() if row["value"] is not None]
        with self._lock:
            self._points.extend(found)

    def take(self) -> list[Point]:
        """What came since the last call, in the order of arrival."""
        with self._lock:
            taken = list(self._points)
            self._points.clear()
        return taken


OpenTap = Callable[[frozenset[str]], Tap]


def _point(row: dict[str, Any]) -> Point:
    maps: dict[str, Any] = {name: dict(row[name] or ()) for name in ("attributes", "resource")}
    return Point(**{**row, **maps})
