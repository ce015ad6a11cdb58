"""OTLP metrics → rows of the relation ``metric_points``. Bad data points are refused and counted, the others kept.

Device energy from any emitter becomes joules here (``hw.energy`` is specified in J, senders differ); what it says about
source, scope and quality is kept, and where it says nothing the source is ``otlp`` and the quality ``measured``.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from collector.decoding import columns, times
from collector.decoding.batch import Batch, Refusals
from collector.decoding.foreign import FOREIGN, Foreign
from collector.decoding.spans import shared_columns
from collector.normalising import coercion, values
from collector.normalising.values import Attributes, Renderer
from conventions import attributes as names
from conventions.instruments import HW_ENERGY, HW_POWER

TEMPORALITIES = {1: "delta", 2: "cumulative"}
MAX_UNIT = 255
NO_RECORDED_VALUE = 1  # DataPointFlags
SCOPE_OF_DEVICE = {"gpu": "gpu", "cpu": "cpu_package", "memory": "dram", "host": "host"}
# unit as sent → unit as stored and its factor
CONVERSIONS = {
    "mJ": ("J", 1e-3),
    "uJ": ("J", 1e-6),
    "kJ": ("J", 1e3),
    "Wh": ("J", 3_600.0),
    "kWh": ("J", 3_600_000.0),
    "mW": ("W", 1e-3),
    "uW": ("W", 1e-6),
    "kW": ("W", 1e3),
}


@dataclass(frozen=True, slots=True)
class _Series:
    """What all points of one metric of one resource share."""

    metric: str
    unit: str | None
    factor: float
    resource: Attributes
    shared: columns.Row
    repeated: int  # characters that each of its rows repeats
    foreign: Foreign | None = None


class PointDecoder:
    """Decodes ``ExportMetricsServiceRequest`` messages. Keeps no state."""

    def decode(
        self, request: Any, received_ns: int, renderer: Renderer | None = None, into: columns.Rows | None = None
    ) -> Batch:
        """The request's data points as one table, received at ``received_ns`` (UTC), or in ``into``."""
        refusals, renderer = Refusals(), renderer or Renderer()
        own = columns.Rows()
        rows = (into or own).of("metric_points")
        before = rows.count
        for series, kind, points in _all_series(request, renderer, received_ns):
            for point in points:
                if point.flags & NO_RECORDED_VALUE:
                    continue
                row = READERS[kind](point, series.factor)
                reason = _refusal(point, row, series, received_ns) or renderer.refusal(series.repeated)
                if reason:
                    refusals.add(reason)
                else:
                    rows.add(_row(point, row, series, renderer))
        return Batch(own.tables(), rows.count - before, refusals, renderer.cut)


def _all_series(request: Any, renderer: Renderer, received_ns: int) -> Iterator[tuple[_Series, str, Any]]:
    for resource_metrics in request.resource_metrics:
        resource = values.attributes(resource_metrics.resource.attributes)
        shared = shared_columns(resource, renderer, received_ns)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                if kind in READERS:
                    yield _series(metric, kind, resource, shared, renderer), kind, getattr(metric, kind).data_points


def _series(metric: Any, kind: str, resource: Attributes, shared: columns.Row, renderer: Renderer) -> _Series:
    data = getattr(metric, kind)
    foreign = FOREIGN.get(metric.name)
    unit, factor = _unit(metric) if foreign is None else (foreign.instrument.unit, foreign.factor)
    name = renderer.bounded(metric.name) if foreign is None else foreign.instrument.name
    own: columns.Row = {"metric": name, "unit": unit, "kind": kind if kind in ("sum", "gauge") else "histogram"}
    if kind == "sum":
        own["monotonic"] = data.is_monotonic
    if kind not in ("gauge", "summary"):
        own["temporality"] = TEMPORALITIES.get(data.aggregation_temporality)
    shared = {**shared, **own}
    return _Series(name, unit, factor, resource, shared, values.size(shared), foreign)


def _unit(metric: Any) -> tuple[str | None, float]:
    """The unit as stored and the factor to it; only energy and power of devices are converted."""
    if metric.name in (HW_ENERGY.name, HW_POWER.name) and metric.unit in CONVERSIONS:
        return CONVERSIONS[metric.unit]
    return metric.unit[:MAX_UNIT] or None, 1.0


def _row(point: Any, read: columns.Row, series: _Series, renderer: Renderer) -> columns.Row:
    attributes = values.attributes(point.attributes)
    if series.foreign is not None:
        series.foreign.translate(attributes)
    row = {**series.shared, **read, "time_ns": point.time_unix_nano}
    if 0 < point.start_time_unix_nano <= point.time_unix_nano:
        row["start_ns"] = point.start_time_unix_nano
    row["engine"] = coercion.name(attributes.pop(names.ENGINE, None) or series.resource.get(names.ENGINE))
    row["job"] = coercion.name(series.resource.get(names.JOB_ID))
    row.update(_device(attributes, is_energy=series.metric in (HW_ENERGY.name, HW_POWER.name)))
    row["attributes"] = renderer.texts(attributes)
    return row


def _device(attributes: Attributes, *, is_energy: bool) -> columns.Row:
    """The device columns; taken out of ``attributes``. ``hw.name`` stays there and stands in for a missing id."""
    kind = coercion.folded(attributes.pop(names.HW_TYPE, None))
    row: columns.Row = {
        "device": coercion.name(attributes.pop(names.HW_ID, None)) or coercion.name(attributes.get(names.HW_NAME)),
        "device_type": kind,
        "source": coercion.name(attributes.pop(names.ENERGY_SOURCE, None)),
        "scope": coercion.name(attributes.pop(names.ENERGY_SCOPE, None)),
        "quality": coercion.name(attributes.pop(names.ENERGY_QUALITY, None)),
    }
    if is_energy:
        row["source"] = row["source"] or "otlp"
        row["scope"] = row["scope"] or SCOPE_OF_DEVICE.get(kind or "")
        row["quality"] = row["quality"] or "measured"
    return row


def _number(point: Any, factor: float) -> columns.Row:
    kind = point.WhichOneof("value")
    return {"value": float(getattr(point, kind)) * factor if kind else None}


def _histogram(point: Any, factor: float) -> columns.Row:
    return {
        "value": point.sum * factor,
        "count": point.count,
        "bounds": [bound * factor for bound in point.explicit_bounds],
        "counts": list(point.bucket_counts),
    }


def _summed(point: Any, factor: float) -> columns.Row:
    """Exponential histograms and summaries: their sum and count; no explicit bounds to keep."""
    return {"value": point.sum * factor, "count": point.count}


READERS: dict[str, Callable[[Any, float], columns.Row]] = {
    "sum": _number,
    "gauge": _number,
    "histogram": _histogram,
    "exponential_histogram": _summed,
    "summary": _summed,
}
MAX_INT64 = 2**63 - 1


def _refusal(point: Any, read: columns.Row, series: _Series, now_ns: int) -> str | None:
    value = read["value"]
    if not series.metric:
        return "the metric has no name"
    if value is None or not math.isfinite(value):
        return f"{series.metric}: the value is missing or not finite"
    if series.metric == HW_ENERGY.name and value < 0:
        return f"{series.metric}: energy is never negative"
    if max(read.get("count", 0), *read.get("counts", ()), 0) > MAX_INT64:
        return f"{series.metric}: a count is over 2^63"
    return times.instant_refusal(point.time_unix_nano, now_ns)
