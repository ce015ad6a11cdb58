"""``/metrics``: the counters in Prometheus text format 0.0.4, written by hand because it is forty lines."""

from collections.abc import Iterator

from conventions.instruments import (
    ENGINE_COUNTERS,
    ENGINE_GAUGES,
    ENGINE_SAVINGS,
    SERVER_DURATION,
    SERVER_TTFT,
    Instrument,
)
from serving.engine.counters import Counters, Histogram
from serving.engine.instruments import value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(counters: Counters, engine: str, model: str) -> str:
    """The whole page."""
    labels = f'engine="{_escaped(engine)}",model_name="{_escaped(model)}"'
    return "\n".join(_lines(counters, labels)) + "\n"


def _lines(counters: Counters, labels: str) -> Iterator[str]:
    for instrument in (*ENGINE_COUNTERS, *ENGINE_SAVINGS):
        yield from _single(f"{_name(instrument)}_total", instrument, value(counters, instrument), labels)
    for instrument in ENGINE_GAUGES:
        yield from _single(_name(instrument), instrument, value(counters, instrument), labels)
    for outcome in ("answered", "refused"):
        name = f"tokenjoule_engine_requests_{outcome}_total"
        yield from (f"# TYPE {name} counter", f"{name}{{{labels}}} {getattr(counters, outcome)}")
    yield from _histogram(SERVER_TTFT, counters.ttft_s, labels)
    yield from _histogram(SERVER_DURATION, counters.e2e_s, labels)


def _single(name: str, instrument: Instrument, number: int | float, labels: str) -> Iterator[str]:
    yield f"# HELP {name} {instrument.description}"
    yield f"# TYPE {name} {instrument.kind}"
    yield f"{name}{{{labels}}} {number}"


def _histogram(instrument: Instrument, histogram: Histogram, labels: str) -> Iterator[str]:
    name = f"{_name(instrument)}_seconds"
    yield f"# HELP {name} {instrument.description}"
    yield f"# TYPE {name} histogram"
    below = 0
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        below += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {below}'
    yield f"{name}_sum{{{labels}}} {histogram.total}"
    yield f"{name}_count{{{labels}}} {below}"


def _name(instrument: Instrument) -> str:
    return instrument.name.replace(".", "_")


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
