"""What probes and watchers read: one number of one instrument, with its device and where the number comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from collector.ingesting.tap import OpenTap
from conventions.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Device:
    """A piece of hardware: ``hw.id``, ``hw.type`` and ``hw.name``."""

    id: str
    kind: Literal["gpu", "cpu", "memory", "host"]
    name: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a joule comes from (DESIGN §4): no series ever mixes two."""

    source: str
    scope: str
    quality: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading. Counters are cumulative since ``start_ns``; times are UTC nanoseconds."""

    instrument: Instrument
    value: float
    time_ns: int
    start_ns: int | None = None
    device: Device | None = None
    provenance: Provenance | None = None
    engine: str | None = None
    host: str | None = None  # where the device is, if not here


class Source(Protocol):
    """Anything that a sampler asks once per interval."""

    def read(self) -> list[Sample]:
        """What can be read now; a value that cannot is left out, never zero. Blocks for milliseconds at most."""
        ...


class Probe(Source, Protocol):
    """Energy of hardware. One module of ``collector/probes`` holds one, a class named ``Probe(context)``.

    Building it opens the hardware or raises ``ProbeUnavailable``. ``estimates`` says whether it computes joules instead
    of reading them; those are opened last.
    """

    estimates: bool
    scopes: frozenset[str]  # what it gives the energy of: gpu, module, cpu_package, dram, host
    description: str  # one line for the log: what is read, by what means

    def close(self) -> None:
        """Let the hardware go."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What a probe may look at when it opens: what others already give the energy of, what to replay, what is sent."""

    covered: frozenset[str] = frozenset()
    replay: Path | None = None
    open_tap: OpenTap | None = None  # the metric points that the collector takes in; there is none outside it


class ProbeUnavailable(Exception):
    """This machine does not have it or does not let us read it; the message names the remedy if there is one."""


def scopes_of(probes: Sequence[Probe]) -> frozenset[str]:
    """All scopes that ``probes`` cover."""
    return frozenset[str]().union(*(probe.scopes for probe in probes))
