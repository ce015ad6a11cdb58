"""Training and batch jobs as claimants: what each used of a device, beside the engines.

A leg is one run of a job's process. Its CPU seconds are its own: what a job in a child process reports for itself is
taken off the job around it, so nothing is counted twice. Between reports the seconds are spread evenly.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from analytics.ledger.inputs import Floats
from analytics.ledger.placement import Spread

JOB_COLUMNS: Final = ("job", "leg", "within", "host", "devices", "time_ns", "start_ns", "value")
"""``value``: CPU seconds of the leg since ``start_ns``; ``devices``: its GPUs as a JSON list; ``within``: a leg."""

CPU_TIME: Final = "cpu_time"
EQUAL_SHARES: Final = "equal_shares"


@dataclass(frozen=True, slots=True)
class Leg:
    """One run of a job's process: its CPU seconds at ``times`` (seconds from the origin, the first is its start)."""

    job: str
    name: str
    within: str | None
    host: str | None
    devices: tuple[str, ...]
    times: Floats
    cpu_s: Floats

    def at(self, moments: Floats) -> Floats:
        """CPU seconds by ``moments``; none before the start and after the last report."""
        return np.interp(moments, self.times, self.cpu_s)

    def present(self, edges: Floats) -> Floats:
        """The share of each interval in which the leg ran."""
        begin, end = np.maximum(edges[:-1], self.times[0]), np.minimum(edges[1:], self.times[-1])
        return np.asarray(np.maximum(end - begin, 0.0) / np.diff(edges))


@dataclass(frozen=True, slots=True)
class JobShare:
    """Joules per interval that one job used of a device, and by which rule."""

    job: str
    joules: Floats
    method: str


def read_legs(points: pa.Table | None, origin_ns: int) -> list[Leg]:
    """The legs that ``points`` (``JOB_COLUMNS``, any order) tell of, by name."""
    by_leg: dict[str, list[dict[str, object]]] = {}
    for row in () if points is None else points.sort_by("time_ns").to_pylist():
        by_leg.setdefault(row["leg"], []).append(row)
    return [_leg(name, rows, origin_ns) for name, rows in sorted(by_leg.items())]


def on_device(legs: Sequence[Leg], kind: str | None, device: str, host: str | None) -> list[Leg]:
    """Legs that may use a device: a GPU those that name it, a CPU all of its host."""
    if kind == "gpu":
        return [leg for leg in legs if device in leg.devices]
    return [leg for leg in legs if host is None or leg.host in (None, host)]


def own_cpu_seconds(legs: Sequence[Leg], spread: Spread) -> Floats:
    """(legs, intervals): CPU seconds of each leg without those of the legs within it."""
    spent = np.array([spread(leg.at) for leg in legs]).reshape(len(legs), spread.intervals)
    own = spent.copy()
    place = {leg.name: index for index, leg in enumerate(legs)}
    for index, leg in enumerate(legs):
        if leg.within in place:
            own[place[leg.within]] -= spent[index]
    return np.asarray(np.maximum(own, 0.0))


def presence(legs: Sequence[Leg], edges: Floats) -> Floats:
    """(legs, intervals): the share of each interval in which each leg ran."""
    return np.array([leg.present(edges) for leg in legs]).reshape(len(legs), len(edges) - 1)


def by_job(legs: Sequence[Leg], joules: Floats, method: str) -> list[JobShare]:
    """``joules`` (legs, intervals) summed over the legs of each job."""
    names = sorted({leg.job for leg in legs})
    return [
        JobShare(name, joules[[index for index, leg in enumerate(legs) if leg.job == name]].sum(axis=0), method)
        for name in names
    ]


def _leg(name: str, rows: list[dict[str, object]], origin_ns: int) -> Leg:
    told = rows[-1]
    begin_ns = min(_int(rows[0]["start_ns"] or rows[0]["time_ns"]), _int(rows[0]["time_ns"]))
    times = np.array([begin_ns, *(_int(row["time_ns"]) for row in rows)])
    cpu_s = np.array([0.0, *(float(str(row["value"])) for row in rows)])
    host, within = (None if told[key] is None else str(told[key]) for key in ("host", "within"))
    seconds = (times - origin_ns) / 1e9
    return Leg(str(told["job"]), name, within, host, _devices(told["devices"]), seconds, np.maximum.accumulate(cpu_s))


def _devices(text: object) -> tuple[str, ...]:
    """What does not read as a list of names is no device: a stranger's attribute must not stop the ledger."""
    try:
        found = json.loads(str(text or "[]"))
    except ValueError:
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _int(value: object) -> int:
    return int(str(value))
