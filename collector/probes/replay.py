"""Plays back a recorded series of joules, so that everything after the meter can be tried without one.

CSV with a header or JSON lines, one reading per row: ``t`` (seconds), ``device``, ``joules`` (cumulative); optional
``type`` (gpu), ``name``, ``scope`` (gpu), ``quality`` (measured). ``t`` below 10⁹ counts from the opening of the probe
and is played in real time; larger ones are UTC seconds and are given as they are, all that lie in the past at once.
"""

import csv
import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from collector.sampling.cumulative import Beginnings
from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions.instruments import HW_ENERGY
from conventions.units import nanoseconds_from_seconds

ABSOLUTE_FROM_S = 1e9
KINDS: dict[str, Literal["gpu", "cpu", "memory", "host"]] = {
    "gpu": "gpu",
    "cpu": "cpu",
    "memory": "memory",
    "host": "host",
}


class Probe:
    """The readings of one file."""

    estimates = False

    def __init__(self, context: ProbeContext) -> None:
        if context.replay is None:
            raise ProbeUnavailable("nothing to replay: set [collector.sampler] replay to a recorded file")
        opened_ns = time.time_ns()
        try:
            rows = [_sample(row, opened_ns) for row in _rows(context.replay)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProbeUnavailable(f"{context.replay}: {error!r}; needs t, device, joules") from None
        self._due = deque(sorted(rows, key=lambda sample: sample.time_ns))
        self._beginnings = Beginnings()
        self.scopes = frozenset(sample.provenance.scope for sample in rows if sample.provenance)
        self.description = f"{len(rows)} readings of {context.replay}"

    def read(self) -> list[Sample]:
        """The readings whose time has come, at their own times."""
        now_ns = time.time_ns()
        due: list[Sample] = []
        while self._due and self._due[0].time_ns <= now_ns:
            due.append(self._started(self._due.popleft()))
        return due

    def close(self) -> None:
        """Nothing is held open."""

    def _started(self, sample: Sample) -> Sample:
        assert sample.device is not None
        start_ns = self._beginnings.start_ns(sample.device.id, sample.value, sample.time_ns)
        return Sample(sample.instrument, sample.value, sample.time_ns, start_ns, sample.device, sample.provenance)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file if line.strip())


def _sample(row: dict[str, Any], opened_ns: int) -> Sample:
    seconds = float(row["t"])
    offset_ns = 0 if seconds >= ABSOLUTE_FROM_S else opened_ns
    kind = row.get("type") or "gpu"
    if kind not in KINDS:
        raise ValueError(f"type {kind!r}: choose from {', '.join(KINDS)}")
    device = Device(row["device"], KINDS[kind], row.get("name") or row["device"])
    provenance = Provenance("replay", row.get("scope") or "gpu", row.get("quality") or "measured")
    return Sample(
        HW_ENERGY, float(row["joules"]), offset_ns + nanoseconds_from_seconds(seconds), None, device, provenance
    )
