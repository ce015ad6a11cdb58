"""Metered devices: joules per interval, the part that is idle, and the part that each pool of engines used.

On a CPU the active energy is split over processes by their CPU time first, so that each engine is a pool of its own
and the rest is overhead (gateway, collector, load client). On a GPU, and where CPU times are not sent, the engines
that share the device are one pool and the work they did splits it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.series import Series, series
from conventions import instruments

IDLE_QUANTILE: Final = 0.1  # of the power of intervals without engine work: other processes come and go on a host
IDLE_INTERVALS: Final = 3  # so many are needed, else the lowest power ever seen stands in

ROUNDING: Final = 1e-12  # of a total; active energy below it is none


@dataclass(frozen=True, slots=True)
class Device:
    """One energy counter and where its joules come from."""

    name: str
    kind: str | None  # cpu | gpu
    host: str | None
    energy: Series
    stated_idle_w: float | None  # an estimating probe knows its own power at no load
    source: str | None
    scope: str | None
    quality: str
    origin_ns: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A device's energy per interval: total = idle + active where `known`."""

    total: Floats
    known: Flags
    idle: Floats
    active: Floats
    idle_w: float


@dataclass(frozen=True, slots=True)
class Pool:
    """Engines whose work splits one stretch of active energy together."""

    engines: tuple[str, ...]
    active: Floats


def read_devices(points: pa.Table, origin_ns: int) -> list[Device]:
    """Every device with an ``hw.energy`` series, by name."""
    energy = points.filter(pc.equal(points["metric"], instruments.HW_ENERGY.name))
    names = sorted(name for name in pc.unique(energy["device"]).to_pylist() if name is not None)
    idle = points.filter(pc.equal(points["metric"], instruments.HW_IDLE_POWER.name))
    stated = dict(zip(idle["device"].to_pylist(), idle["value"].to_pylist(), strict=True))
    return [
        _device(name, energy.filter(pc.equal(energy["device"], name)), stated.get(name), origin_ns) for name in names
    ]


def balance(device: Device, edges: Floats, working: Flags, prior_idle_w: float | None) -> Balance:
    """Total, idle and active joules of ``device``; ``working`` marks intervals in which some engine had work.

    Idle power is what an estimating probe states as its own. Of a meter it is a low quantile over intervals without
    engine work; with fewer than three of those it is what was found before, or the lowest power of any interval if that
    is lower (too high on a device that never idled, and on a CPU that other programs kept busy).
    """
    total, known = device.energy.between(edges)
    length = np.diff(edges)
    power = total / length
    idle_w = device.stated_idle_w
    if idle_w is None:
        idle_w = _idle_power(power[known], power[known & ~working], prior_idle_w)
    idle = np.minimum(total, idle_w * length)
    idle = np.where(total - idle > ROUNDING * total, idle, total)
    return Balance(total, known, idle, total - idle, idle_w)


def _idle_power(power: Floats, quiet: Floats, prior_idle_w: float | None) -> float:
    """Watts, from the powers of all intervals and of those without engine work."""
    if len(quiet) >= IDLE_INTERVALS:
        return float(np.quantile(quiet, IDLE_QUANTILE))
    found = np.append(power, [] if prior_idle_w is None else [prior_idle_w])
    return float(found.min()) if len(found) else 0.0


def pools(device: Device, points: pa.Table, engines: tuple[str, ...], active: Floats, edges: Floats) -> list[Pool]:
    """``active`` split into pools of engines; what they do not sum up to is overhead."""
    shares = None if device.kind == "gpu" else _cpu_shares(device, points, engines, edges)
    if shares is None:
        return [Pool(engines, active)] if engines else []
    return [Pool((engine,), active * share) for engine, share in zip(engines, shares, strict=True)]


def _cpu_shares(device: Device, points: pa.Table, engines: tuple[str, ...], edges: Floats) -> Floats | None:
    """(engines, intervals): each engine's part of the host's busy CPU time; None when those times are not sent.

    Shares above the whole (clocks of two readings) are scaled down to it.
    """
    host = series(_of_host(points, instruments.HOST_CPU_TIME.name, device.host), device.origin_ns)
    every = _of_host(points, instruments.PROCESS_CPU_TIME.name, device.host)
    mine = [series(every.filter(pc.equal(every["engine"], engine)), device.origin_ns) for engine in engines]
    if not host.covers or not any(one.covers for one in mine):
        return None
    busy, busy_known = host.between(edges)
    shares = np.zeros((len(engines), len(edges) - 1))
    for row, one in enumerate(mine):
        spent, known = one.between(edges)
        shares[row] = np.divide(spent, busy, out=np.zeros_like(spent), where=known & busy_known & (busy > 0))
    return np.asarray(shares / np.maximum(shares.sum(axis=0), 1.0))


def _of_host(points: pa.Table, metric: str, host: str | None) -> pa.Table:
    """Points of ``metric`` from ``host``; those that name no host belong to every one."""
    named = points.filter(pc.equal(points["metric"], metric))
    if host is None:
        return named
    return named.filter(pc.or_kleene(pc.equal(named["host"], host), pc.is_null(named["host"])))


def _device(name: str, points: pa.Table, stated_idle_w: float | None, origin_ns: int) -> Device:
    """Provenance is that of the newest point; a source that names no quality is taken for an estimate."""
    newest = points.sort_by([("time_ns", "ascending")]).slice(points.num_rows - 1).to_pylist()[0]
    said = {key: newest[key] for key in ("source", "scope", "host")}
    quality = newest["quality"] or "estimated"
    energy = series(points, origin_ns)
    return Device(
        name=name,
        kind=newest["device_type"],
        energy=energy,
        stated_idle_w=stated_idle_w,
        quality=quality,
        origin_ns=origin_ns,
        **said,
    )
