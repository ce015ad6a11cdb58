"""Where an instrument stands on a Prometheus page, and what a page says about a list of such readings."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Line

from collector.sampling.sample import Device, Provenance
from conventions.instruments import Instrument

GAUGES: Final = frozenset({"gauge", "unknown"})


@dataclass(frozen=True, slots=True)
class Reading:
    """One instrument on the page; of several readings of it the first that is there counts.

    Series are summed; ``mean`` averages them (shares). With ``device_label`` there is one value per device, the highest
    of its series: rows of MIG instances repeat what their board counted, and a board must count once.
    """

    instrument: Instrument
    series: str
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)
    mean: bool = False
    scale: float = 1.0
    device_label: str | None = None
    name_label: str = ""
    provenance: Provenance | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One value on the page."""

    instrument: Instrument
    value: float
    device: Device | None = None
    provenance: Provenance | None = None


def found(page: str, readings: Iterable[Reading]) -> list[Found]:
    """What ``page`` says about ``readings``. Raises ``ValueError`` for what is not such a page."""
    by_series: dict[str, list[Line]] = defaultdict(list)
    for _, line in _lines(page):
        if math.isfinite(line.value):  # a gauge of nothing is NaN
            by_series[line.name].append(line)
    told: dict[Instrument, list[Found]] = {}
    for reading in readings:
        lines = [line for line in by_series.get(reading.series, ()) if _matches(reading, line.labels)]
        if lines and reading.instrument not in told:
            told[reading.instrument] = _per_device(reading, lines) if reading.device_label else [_one(reading, lines)]
    return [one for values in told.values() for one in values]


def named(page: str, names: Mapping[str, str]) -> list[Reading]:
    """Readings of a table of series and instrument names; kinds are those that the page states."""
    kinds = {line.name: kind for kind, line in _lines(page)}
    return [
        Reading(Instrument(name, "1", "gauge" if kinds.get(series, "gauge") in GAUGES else "counter", series), series)
        for series, name in names.items()
    ]


def _lines(page: str) -> Iterator[tuple[str, Line]]:
    """Kind and sample. The parser gives every counter the ending ``_total``: it is found under the bare name too."""
    for family in text_string_to_metric_families(page):
        for line in family.samples:
            yield family.type, line
            if family.type == "counter" and line.name == f"{family.name}_total":
                yield family.type, line._replace(name=family.name)


def _one(reading: Reading, lines: list[Line]) -> Found:
    total = sum(line.value for line in lines) / (len(lines) if reading.mean else 1)
    return Found(reading.instrument, total * reading.scale, provenance=reading.provenance)


def _per_device(reading: Reading, lines: list[Line]) -> list[Found]:
    highest: dict[str, Line] = {}
    for line in lines:
        device = line.labels.get(reading.device_label or "", "")
        if device and (device not in highest or line.value > highest[device].value):
            highest[device] = line
    return [
        Found(
            reading.instrument,
            line.value * reading.scale,
            Device(device, "gpu", line.labels.get(reading.name_label, "")),
            reading.provenance,
        )
        for device, line in highest.items()
    ]


def _matches(reading: Reading, labels: Mapping[str, str]) -> bool:
    return all(labels.get(label) in choices for label, choices in reading.labels.items())
