"""The metrics of the house: one ``.sql`` file in ``analytics/metrics`` each, found by listing.

``run`` answers one metric over a window of time, grouped by any of tier, tenant and model and by time bucket.
Grouping and filters are plain parameters of the file's SQL, never pasted text, so the same file runs over HTTP.
A group without data has no row or a NULL value, never 0.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import pyarrow as pa

from analytics import idling as idle_policy
from analytics.idling import SEPARATE, Idling
from conventions import plugins
from conventions.errors import PluginError

Dimension = Literal["tier", "tenant", "model"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)

JOBS: Final = "job_progress"
"""Metrics that need it are of training and batch jobs: model is then a job's name, a run its id."""

_PACKAGE: Final = "analytics.metrics"
_KEYS: Final = ("title", "unit", "better", "grain", "needs", "definition")
_HEADER_LINE: Final = re.compile(r"-- (?:(?P<key>[a-z]+): |  )(?P<text>.+)")


class Queries(Protocol):
    """What a metric needs of a store: a ``store.reading.Reader`` or the ``Store`` itself."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Run one statement with named parameters."""


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open span of time [start, end), in UTC without a zone, as the store keeps it."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        assert self.start.tzinfo is None, "windows are UTC without a zone"
        assert self.start < self.end, f"empty window {self.start} .. {self.end}"

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.end - self.start).total_seconds()

    @property
    def previous(self) -> "Window":
        """The window of the same length that ends where this one starts."""
        return Window(self.start - timedelta(seconds=self.seconds), self.start)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests count; an empty tuple lets everything through."""

    tiers: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric file: what its header says, and its SQL."""

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    grain: tuple[str, ...]
    needs: tuple[str, ...]
    definition: str
    sql: str = field(repr=False)


def names() -> list[str]:
    """Sorted names of all metrics."""
    return plugins.names(_PACKAGE, ".sql")


def load(name: str) -> Metric:
    """The metric ``name``. Raises ``PluginError`` for an unknown name or an incomplete header."""
    return parse(name, _text(name))


def parse(name: str, text: str) -> Metric:
    """A metric from the text of its file: comment header first, then one statement."""
    lines = text.splitlines()
    length = next((index for index, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = _header(name, lines[:length])
    return Metric(
        name=name,
        title=header["title"],
        unit=header["unit"],
        better="lower" if header["better"] == "lower" else "higher",
        grain=_items(header["grain"]),
        needs=_items(header["needs"]),
        definition=header["definition"],
        sql="\n".join(lines[length:]),
    )


def run(
    reader: Queries,
    name: str,
    window: Window,
    by: tuple[Dimension, ...] = ("tier",),
    filters: Filters = Filters(),
    bucket_s: float | None = None,
    idling: Idling = SEPARATE,
) -> pa.Table:
    """Rows ``bucket, tier, tenant, model, …, value, n`` of one metric, ordered by their keys.

    Columns that are not in ``by`` are NULL, ``bucket`` is NULL without ``bucket_s``. Further columns are those that
    the header's grain names (``origin``, ``part``) and the terms of a ratio (``joules``, ``tokens``, ``quality``).
    ``idling`` says who is charged for idle joules, in metrics of energy, carbon and cost.
    """
    return reader.query(statement(load(name), idling), parameters(window, by, filters, bucket_s, idling))


def parameters(
    window: Window, by: tuple[Dimension, ...], filters: Filters, bucket_s: float | None, idling: Idling = SEPARATE
) -> dict[str, Any]:
    """What ``statement`` is run with."""
    return {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "by": list(by),
        "bucket_s": bucket_s,
        "tiers": list(filters.tiers),
        "tenants": list(filters.tenants),
        "models": list(filters.models),
        "runs": list(filters.runs),
        **idle_policy.parameters(idling),
    }


def statement(metric: Metric, idling: Idling = SEPARATE) -> str:
    """The metric's SQL over the scoped relations, as it is sent to the store."""
    if JOBS in metric.needs:
        scope = _text("_jobs")
    else:
        scope = _text("_scope") + _text("_parts") + idle_policy.fragment(idling.policy) + _text("_balance")
    return f"{scope}SELECT * FROM (\n{metric.sql}\n)\nORDER BY ALL"


def reference() -> str:
    """The page about all metrics, as Markdown, from their headers."""
    parts = [
        "# Metrics",
        "Generated from the headers of `analytics/metrics/*.sql` by "
        "`python -m analytics.metric --write docs/metrics.md`.",
        "Every metric is answered by tier, tenant, model and time bucket, over any window and filter. "
        "NULL means not known; 0 means zero.",
    ]
    return "\n\n".join(parts + [_entry(load(name)) for name in names()]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the reference page to a file, or to standard output."""
    parser = argparse.ArgumentParser(prog="python -m analytics.metric", description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="PATH", help="where to write; standard output without it")
    path: Path | None = parser.parse_args(arguments).write
    if path is None:
        sys.stdout.write(reference())
    else:
        path.write_text(reference(), encoding="utf-8")
    return 0


def _text(name: str) -> str:
    return plugins.text(_PACKAGE, name, ".sql", "metric")


def _header(name: str, lines: list[str]) -> dict[str, str]:
    header: dict[str, str] = {}
    key = ""
    for line in lines:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise PluginError(f"metric {name!r}: cannot read header line {line!r}; write '-- key: text' or '--   text'")
        key = match["key"] or key
        header[key] = f"{header.get(key, '')} {match['text']}".strip()
    if tuple(header) != _KEYS or header["better"] not in ("lower", "higher"):
        raise PluginError(
            f"metric {name!r}: its header needs {', '.join(_KEYS)} in this order; better is lower or higher"
        )
    return header


def _items(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(","))


def _entry(metric: Metric) -> str:
    facts = f"`{metric.name}` · unit {metric.unit} · {metric.better} is better"
    rows = f"Rows: {', '.join(metric.grain)}. Reads: {', '.join(metric.needs)}."
    return f"## {metric.title}\n\n{facts}\n\n{metric.definition}\n\n{rows}"


if __name__ == "__main__":
    sys.exit(main())
