"""Who a device's active energy is for, before any work is looked at: pools of engines, jobs, and nobody.

On a CPU it is split over processes by their CPU time, so that each engine is a pool of its own, each job has its part,
and the rest is overhead (gateway, collector, load client). CPU time is cumulative too: over a hole it is known by its
sum, and it is spread over the samples of the energy meter as the energy is. Where the CPU time of an engine at work is
not known at all, what the known ones leave is ``unshared``: the engine's or overhead, nobody can say. On a GPU, and
where CPU times are not sent, the engines that share the device are one pool and the work they did splits it; a job
there pays the same share of the moment as each engine at work and each other job, because nothing says how much of the
device was whose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.devices import Device, of_host
from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.jobs import CPU_TIME, EQUAL_SHARES, JobShare, Leg, by_job, own_cpu_seconds, presence
from analytics.ledger.placement import Spread
from analytics.ledger.series import Series, series
from conventions import instruments


@dataclass(frozen=True, slots=True)
class Pool:
    """Engines whose work splits one stretch of active energy together."""

    engines: tuple[str, ...]
    active: Floats
    known: Flags  # per interval: whether ``active`` is; where it is not it is 0


@dataclass(frozen=True, slots=True)
class Claimants:
    """Who shares a device: engines by name, which of them are at work in each interval, and legs of jobs."""

    engines: tuple[str, ...]
    at_work: Flags  # (engines, intervals)
    legs: Sequence[Leg] = ()


@dataclass(frozen=True, slots=True)
class Division:
    """Active energy as pools and jobs; what they leave is overhead, or nobody knows whose where it is ``unshared``."""

    pools: list[Pool]
    jobs: list[JobShare]
    unshared: Flags  # per interval
    estimated: Flags  # per interval: a share of CPU time that was read off a longer stretch


@dataclass(frozen=True, slots=True)
class _CpuShares:
    """Parts of the host's busy CPU time; ``engines`` is None when nobody sends theirs."""

    engines: Floats | None  # (engines, intervals)
    known: Flags  # (engines, intervals)
    legs: Floats  # (legs, intervals)
    unshared: Flags
    estimated: Flags


def divide(device: Device, points: pa.Table, claimants: Claimants, active: Floats, edges: Floats) -> Division:
    """``active`` split into pools of engines and parts of jobs."""
    engines, legs = claimants.engines, claimants.legs
    always, never = np.ones(len(active), np.bool_), np.zeros(len(active), np.bool_)
    shares = None if device.kind == "gpu" else _cpu_shares(device, points, claimants, edges)
    if shares is None:
        parts = _equal_shares(claimants, edges)
        rest = [Pool(engines, _left(active, parts), always)] if engines else []
        return Division(rest, by_job(legs, active * parts, EQUAL_SHARES), never, never)
    jobs = by_job(legs, active * shares.legs, CPU_TIME)
    if shares.engines is None:
        rest = [Pool(engines, _left(active, shares.legs), always)] if engines else []
        return Division(rest, jobs, never, shares.estimated)
    own = zip(engines, shares.engines, shares.known, strict=True)
    pools = [Pool((engine,), active * share, known) for engine, share, known in own]
    return Division(pools, jobs, shares.unshared, shares.estimated)


def _cpu_shares(device: Device, points: pa.Table, claimants: Claimants, edges: Floats) -> _CpuShares | None:
    """Each engine's and each leg's part of the host's busy CPU time; None when the host's is not sent, or nobody's is.

    Shares above the whole (clocks of two readings) are scaled down to it.
    """
    host = series(of_host(points, instruments.HOST_CPU_TIME.name, device.host), device.origin_ns)
    every = of_host(points, instruments.PROCESS_CPU_TIME.name, device.host)
    since_ns = device.origin_ns + round(device.energy.times[0] * 1e9)
    own = [every.filter(pc.equal(every["engine"], engine)) for engine in claimants.engines]
    mine = [series(points, device.origin_ns, since_ns=since_ns) for points in own]
    sent = any(one.covers for one in mine)
    if not host.covers or not (sent or claimants.legs):
        return None
    spread = Spread(device.energy, edges)
    busy, busy_known = spread(host.at), host.between(edges)[1]
    known = _known(mine, claimants.at_work, edges) & busy_known
    spent = np.array([spread(one.at) for one in mine]).reshape(known.shape) * known
    spent = np.concatenate([spent, own_cpu_seconds(claimants.legs, spread)])
    shares = np.divide(spent, busy, out=np.zeros_like(spent), where=busy_known & (busy > 0))
    shares /= np.maximum(shares.sum(axis=0), 1.0)
    return _CpuShares(
        engines=shares[: len(mine)] if sent else None,
        known=known,
        legs=shares[len(mine) :],
        unshared=np.any(claimants.at_work & ~known, axis=0),
        estimated=np.any([one.estimated(edges) for one in (host, *mine)], axis=0),
    )


def _known(mine: Sequence[Series], at_work: Flags, edges: Floats) -> Flags:
    """(engines, intervals): CPU time is known, or the engine did nothing: outside its samples it uses none then."""
    known = np.array([one.between(edges)[1] for one in mine], np.bool_).reshape(at_work.shape)
    return np.asarray(known | ~at_work)


def _left(active: Floats, parts: Floats) -> Floats:
    return np.asarray(active * np.maximum(1.0 - parts.sum(axis=0), 0.0))


def _equal_shares(claimants: Claimants, edges: Floats) -> Floats:
    """(legs, intervals): each leg's part of the moment where it, other legs and engines at work share it equally."""
    present = presence(claimants.legs, edges)
    whole = present.sum(axis=0) + claimants.at_work.sum(axis=0)
    return np.asarray(np.divide(present, whole, out=np.zeros_like(present), where=whole > 0))
