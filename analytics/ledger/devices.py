"""Metered devices: joules per interval, the part that is idle, and the part that each pool of engines used.

On a CPU the active energy is split over processes by their CPU time first, so that each engine is a pool of its own,
each job has its part, and the rest is overhead (gateway, collector, load client). On a GPU, and where CPU times are not
sent, the engines that share the device are one pool and the work they did splits it; a job there pays the same share of
the moment as each engine at work and each other job, because nothing says how much of the device was whose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.jobs import CPU_TIME, EQUAL_SHARES, JobShare, Leg, by_job, own_cpu_seconds, presence
from analytics.ledger.series import Series, series
from analytics.ledger.shape import OF_THE_MOMENT
from conventions import instruments

IDLE_QUANTILE: Final = 0.1  # of the power of intervals without engine work: other processes come and go on a host
SAME_STATE: Final = 0.05  # above that quantile: a meter's noise around one power at rest, not other processes
IDLE_INTERVALS: Final = 3  # so many are needed, else the lowest power ever seen stands in
INTERCEPT_INTERVALS: Final = 20
INTERCEPT_SPREAD: Final = 0.3  # of the busiest: without load that varies there is no line
INTERCEPT_R2: Final = 0.8

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
    idle_basis: str  # stated | quiet | intercept | before | lowest
    estimated: Flags  # per interval: an edge that only power places


@dataclass(frozen=True, slots=True)
class Pool:
    """Engines whose work splits one stretch of active energy together."""

    engines: tuple[str, ...]
    active: Floats


@dataclass(frozen=True, slots=True)
class Claimants:
    """Who shares a device: engines by name with the number of them at work per interval, and legs of jobs."""

    engines: tuple[str, ...]
    at_work: Floats
    legs: Sequence[Leg] = ()


def read_devices(points: pa.Table, origin_ns: int) -> list[Device]:
    """Every device with an ``hw.energy`` series, by name."""
    energy = points.filter(pc.equal(points["metric"], instruments.HW_ENERGY.name))
    names = sorted(name for name in pc.unique(energy["device"]).to_pylist() if name is not None)
    idle = points.filter(pc.equal(points["metric"], instruments.HW_IDLE_POWER.name))
    stated = dict(zip(idle["device"].to_pylist(), idle["value"].to_pylist(), strict=True))
    power = points.filter(pc.equal(points["metric"], instruments.HW_POWER.name))
    power = power.filter(pc.fill_null(pc.ends_with(power["source"], OF_THE_MOMENT), False))
    own = {name: [rows.filter(pc.equal(rows["device"], name)) for rows in (energy, power)] for name in names}
    return [_device(name, own[name][0], own[name][1], stated.get(name), origin_ns) for name in names]


def balance(device: Device, points: pa.Table, edges: Floats, working: Flags, prior_idle_w: float | None) -> Balance:
    """Total, idle and active joules of ``device``; ``working`` marks intervals in which some engine had work.

    ``points`` hold the host's CPU time, where it is sent; ``idle_power`` says what is made of it.
    """
    total, known = device.energy.between(edges)
    length = np.diff(edges)
    cores = np.full(len(length), np.nan)
    if device.kind == "cpu":
        host = series(_of_host(points, instruments.HOST_CPU_TIME.name, device.host), device.origin_ns)
        busy, busy_known = host.between(edges)
        cores = np.where(busy_known, busy / length, np.nan)
    idle_w, basis = idle_power(total[known] / length[known], cores[known], ~working[known], device, prior_idle_w)
    idle = np.minimum(total, idle_w * length)
    idle = np.where(total - idle > ROUNDING * total, idle, total)
    return Balance(total, known, idle, total - idle, idle_w, basis, device.energy.estimated(edges) & known)


def idle_power(
    power: Floats, cores: Floats, quiet: Flags, device: Device, prior_idle_w: float | None
) -> tuple[float, str]:
    """Watts at no load and what they rest on, from intervals' power, busy cores (NaN: unknown) and lack of engine work.

    ``stated`` by an estimating probe; else ``quiet``: the median of the lowest state over intervals without engine
    work, or, with fewer than three, what was found ``before`` or the ``lowest`` power of any interval if that is less.
    Both are too high on a device that never idled, so a CPU's is also read off where its power at zero busy cores would
    be (``intercept``), and the lower one is taken.
    """
    if device.stated_idle_w is not None:
        return device.stated_idle_w, "stated"
    if int(quiet.sum()) >= IDLE_INTERVALS:
        found = [(_lowest_state(power[quiet]), "quiet")]
    else:
        found = [] if prior_idle_w is None else [(prior_idle_w, "before")]
        found += [(float(power.min()), "lowest")] if len(power) else []
    intercept = _intercept(power, cores)
    found += [] if intercept is None else [(intercept, "intercept")]
    return min(found, default=(0.0, "lowest"))


def _lowest_state(power: Floats) -> float:
    """The median of what lies close to a low quantile: the quantile alone is low by the meter's noise."""
    low = float(np.quantile(power, IDLE_QUANTILE))
    return float(np.median(power[power <= low * (1 + SAME_STATE)]))


def _intercept(power: Floats, cores: Floats) -> float | None:
    """Power at zero busy cores, by least squares; None where too few intervals, too little spread or a poor fit.

    Power is close to linear in busy cores at one clock (Fan, Weber & Barroso 2007); frequency scaling bends it down at
    low load, so that the line may end too low or too high: it is kept above half of the lowest power seen.
    """
    known = ~np.isnan(cores)
    x, y = cores[known], power[known]
    if len(x) < INTERCEPT_INTERVALS or np.ptp(x) < INTERCEPT_SPREAD * x.max():
        return None
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float(((y - slope * x - intercept) ** 2).sum()) / spread if spread > 0 else 0.0
    return max(float(intercept), float(y.min()) / 2) if slope > 0 and r2 >= INTERCEPT_R2 else None


def pools(
    device: Device, points: pa.Table, claimants: Claimants, active: Floats, edges: Floats
) -> tuple[list[Pool], list[JobShare]]:
    """``active`` split into pools of engines and parts of jobs; what they do not sum up to is overhead."""
    engines, legs = claimants.engines, claimants.legs
    shares = None if device.kind == "gpu" else _cpu_shares(device, points, claimants, edges)
    if shares is None:
        parts = _equal_shares(claimants, edges)
        rest = [Pool(engines, _left(active, parts))] if engines else []
        return rest, by_job(legs, active * parts, EQUAL_SHARES)
    of_engines, of_legs = shares
    jobs = by_job(legs, active * of_legs, CPU_TIME)
    if of_engines is None:
        return ([Pool(engines, _left(active, of_legs))] if engines else []), jobs
    return [Pool((engine,), active * share) for engine, share in zip(engines, of_engines, strict=True)], jobs


def _cpu_shares(
    device: Device, points: pa.Table, claimants: Claimants, edges: Floats
) -> tuple[Floats | None, Floats] | None:
    """Each engine's and each leg's part of the host's busy CPU time, (engines, intervals) and (legs, intervals).

    None when the host's time is not sent, or nobody's is; None for the engines alone when theirs is not. Shares above
    the whole (clocks of two readings) are scaled down to it.
    """
    host = series(_of_host(points, instruments.HOST_CPU_TIME.name, device.host), device.origin_ns)
    every = _of_host(points, instruments.PROCESS_CPU_TIME.name, device.host)
    mine = [series(every.filter(pc.equal(every["engine"], engine)), device.origin_ns) for engine in claimants.engines]
    sent = any(one.covers for one in mine)
    if not host.covers or not (sent or claimants.legs):
        return None
    busy, busy_known = host.between(edges)
    spent = np.zeros((len(mine), len(edges) - 1))
    for row, one in enumerate(mine):
        used, known = one.between(edges)
        spent[row] = np.where(known, used, 0.0)
    spent = np.concatenate([spent, own_cpu_seconds(claimants.legs, edges)])
    shares = np.divide(spent, busy, out=np.zeros_like(spent), where=busy_known & (busy > 0))
    shares /= np.maximum(shares.sum(axis=0), 1.0)
    return (shares[: len(mine)] if sent else None), shares[len(mine) :]


def _left(active: Floats, parts: Floats) -> Floats:
    return np.asarray(active * np.maximum(1.0 - parts.sum(axis=0), 0.0))


def _equal_shares(claimants: Claimants, edges: Floats) -> Floats:
    """(legs, intervals): each leg's part of the moment where it, other legs and engines at work share it equally."""
    present = presence(claimants.legs, edges)
    whole = present.sum(axis=0) + claimants.at_work
    return np.asarray(np.divide(present, whole, out=np.zeros_like(present), where=whole > 0))


def _of_host(points: pa.Table, metric: str, host: str | None) -> pa.Table:
    """Points of ``metric`` from ``host``; those that name no host belong to every one."""
    named = points.filter(pc.equal(points["metric"], metric))
    if host is None:
        return named
    return named.filter(pc.or_kleene(pc.equal(named["host"], host), pc.is_null(named["host"])))


def _device(name: str, points: pa.Table, power: pa.Table, stated_idle_w: float | None, origin_ns: int) -> Device:
    """Provenance is that of the newest point; a source that names no quality is taken for an estimate."""
    newest = points.sort_by([("time_ns", "ascending")]).slice(points.num_rows - 1).to_pylist()[0]
    said = {key: newest[key] for key in ("source", "scope", "host")}
    quality = newest["quality"] or "estimated"
    energy = series(points, origin_ns, power if power.num_rows else None)
    return Device(
        name=name,
        kind=newest["device_type"],
        energy=energy,
        stated_idle_w=stated_idle_w,
        quality=quality,
        origin_ns=origin_ns,
        **said,
    )
