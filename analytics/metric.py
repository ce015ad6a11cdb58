"""The metrics of the house: one ``.sql`` file in ``analytics/metrics`` each, found by listing.

``run`` answers one metric over a window of time, grouped by any of tier, tenant and model and by time bucket.
Grouping and filters are plain parameters of the file's SQL, never pasted text, so the same file runs over HTTP.
A group without data has no row or a NULL value, never 0.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pyarrow as pa

from analytics import idling as idle_policy
from analytics import sources
from analytics.idling import SEPARATE, Idling
from analytics.sources import ANY_SHAPE, DURATION_HOURS, PRECISION, Shape
from analytics.sources import Queries as Queries
from conventions import plugins
from conventions.errors import PluginError

Dimension = Literal["tier", "tenant", "model"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)

JOBS: Final = "job_progress"
"""Metrics that need it are of training and batch jobs: model is then a job's name, a run its id."""

_PACKAGE: Final = "analytics.metrics"
_KEYS: Final = ("title", "unit", "better", "grain", "needs", "definition")
_HEADER_LINE: Final = re.compile(r"-- (?:(?P<key>[a-z]+): |  )(?P<text>.+)")


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
    needs = _items(header["needs"])
    return Metric(
        name=name,
        title=header["title"],
        unit=header["unit"],
        better="lower" if header["better"] == "lower" else "higher",
        grain=_items(header["grain"]),
        needs=needs,
        definition=" ".join([header["definition"], *([PRECISION] if DURATION_HOURS in needs else [])]),
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
    ``idling`` says who is charged for idle joules, in metrics of energy, carbon and cost. Percentiles have a column
    ``relative_error``: 0 where they are exact.
    """
    return run_all(reader, (name,), window, by, filters, bucket_s, idling)[name]


def run_all(
    reader: Queries,
    names: Sequence[str],
    window: Window,
    by: tuple[Dimension, ...] = ("tier",),
    filters: Filters = Filters(),
    bucket_s: float | None = None,
    idling: Idling = SEPARATE,
) -> dict[str, pa.Table]:
    """What ``run`` answers for each of ``names``; metrics of requests and energy in one statement."""
    return run_shaped(
        reader, names, window, by, filters, bucket_s, idling, shape_of(reader, names, window, filters, bucket_s)
    )


def run_shaped(
    reader: Queries,
    names: Sequence[str],
    window: Window,
    by: tuple[Dimension, ...],
    filters: Filters,
    bucket_s: float | None,
    idling: Idling,
    shape: Shape,
) -> dict[str, pa.Table]:
    """``run_all`` where the shape of the question is known."""
    told = [load(name) for name in names]
    shared = [one for one in told if JOBS not in one.needs]
    asked = parameters(window, by, filters, bucket_s, idling)
    alone = told if len(shared) < 2 else [one for one in told if one not in shared]
    found = {one.name: reader.query(statement(one, idling, shape), asked) for one in alone}
    if len(shared) > 1:
        found |= _taken_apart(reader.query(joint_statement(shared, idling, shape), asked))
    return found


def shape_of(reader: Queries, names: Sequence[str], window: Window, filters: Filters, bucket_s: float | None) -> Shape:
    """The shape of a question about the metrics ``names``, for ``statement``."""
    shape, bounds = Shape.of(window.start, window.end, bucket_s, filters.runs), (window.start, window.end)
    return shape.knowing(sources.known(reader, [bounds])[bounds]) if shape.asks(needs_of(names)) else shape


def needs_of(names: Sequence[str]) -> set[str]:
    """The relations that the metrics ``names`` read."""
    return {relation for name in names for relation in load(name).needs}


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


def statement(metric: Metric, idling: Idling = SEPARATE, shape: Shape = ANY_SHAPE) -> str:
    """The metric's SQL over what it stands on, as it is sent to the store, for questions of that ``shape``."""
    is_of_jobs = JOBS in metric.needs
    before = sources.of_jobs() if is_of_jobs else sources.of_requests(metric.sql, shape, idling.policy)
    return f"{before}SELECT * FROM (\n{metric.sql}\n)\nORDER BY ALL"


def joint_statement(metrics: Sequence[Metric], idling: Idling = SEPARATE, shape: Shape = ANY_SHAPE) -> str:
    """The SQL of several metrics of requests or energy: one row with the list of the rows of each."""
    lists = [f"(SELECT list(r) FROM (SELECT * FROM (\n{one.sql}\n) ORDER BY ALL) r) AS {one.name}" for one in metrics]
    before = sources.of_requests("\n".join(one.sql for one in metrics), shape, idling.policy)
    return f"{before}SELECT\n" + ",\n".join(lists)


def _taken_apart(row: pa.Table) -> dict[str, pa.Table]:
    lists = {name: row.column(name).combine_chunks() for name in row.column_names}
    return {name: pa.Table.from_struct_array(rows.flatten()) for name, rows in lists.items()}


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
