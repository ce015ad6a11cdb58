"""Metered devices: joules per interval, and the part of them that is idle."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger.idle import Said, idle_power
from analytics.ledger.inputs import Flags, Floats
from analytics.ledger.series import Series, series
from analytics.ledger.shape import OF_THE_MOMENT
from conventions import instruments

SUMMED_POWER: Final = ".power"  # how sources of energy end that is summed from readings of power (``nvml.power``)
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
    idle_basis: str  # stated | quiet | intercept | before | lowest | unseen
    estimated: Flags  # per interval: an edge in a hole of the meter


def read_devices(points: pa.Table, origin_ns: int) -> list[Device]:
    """Every device with an ``hw.energy`` series, by name."""
    points = _told_apart(points)
    energy = points.filter(pc.equal(points["metric"], instruments.HW_ENERGY.name))
    names = sorted(name for name in pc.unique(energy["device"]).to_pylist() if name is not None)
    idle = points.filter(pc.equal(points["metric"], instruments.HW_IDLE_POWER.name))
    stated = dict(zip(idle["device"].to_pylist(), idle["value"].to_pylist(), strict=True))
    power = points.filter(pc.equal(points["metric"], instruments.HW_POWER.name))
    power = power.filter(pc.fill_null(pc.ends_with(power["source"], OF_THE_MOMENT), False))
    own = {name: [rows.filter(pc.equal(rows["device"], name)) for rows in (energy, power)] for name in names}
    return [_device(name, own[name][0], own[name][1], stated.get(name), origin_ns) for name in names]


def _told_apart(points: pa.Table) -> pa.Table:
    """``points`` of devices; an id that several hosts have is ``id@host``.

    OpenTelemetry makes ``hw.id`` unique on its host only: two counters in one series would be a gap without end.
    """
    own = points.filter(pc.is_valid(points["device"]))
    pairs = own.filter(pc.is_valid(own["host"])).group_by(["device", "host"]).aggregate([])["device"]
    counted = pc.value_counts(pairs.combine_chunks())
    shared = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    if not len(shared):
        return own
    apart = pc.and_(pc.is_in(own["device"], value_set=shared), pc.is_valid(own["host"]))
    named = pc.binary_join_element_wise(own["device"], pc.fill_null(own["host"], ""), "@")
    return own.set_column(own.column_names.index("device"), "device", pc.if_else(apart, named, own["device"]))


def balance(
    device: Device, points: pa.Table, edges: Floats, working: Flags, before: tuple[float, str] | None
) -> Balance:
    """Total, idle and active joules of ``device``; ``working`` marks intervals in which some engine had work.

    ``points`` hold the host's CPU time, where it is sent; ``idle_power`` says what is made of it.
    """
    total, known = device.energy.between(edges)
    length = np.diff(edges)
    cores = np.full(len(length), np.nan)
    if device.kind == "cpu":
        host = series(of_host(points, instruments.HOST_CPU_TIME.name, device.host), device.origin_ns)
        busy, busy_known = host.between(edges)
        cores = np.where(busy_known, busy / length, np.nan)
    estimated = device.energy.estimated(edges) & known
    sure = known & ~estimated if (known & ~estimated).any() else known
    said = Said(device.stated_idle_w, before, device.kind == "gpu")
    idle_w, basis = idle_power(total[sure] / length[sure], cores[sure], ~working[sure], said)
    idle = np.minimum(total, idle_w * length)
    idle = np.where(total - idle > ROUNDING * total, idle, total)
    return Balance(total, known, idle, total - idle, idle_w, basis, estimated)


def of_host(points: pa.Table, metric: str, host: str | None) -> pa.Table:
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
    counts_on = not (said["source"] or "").endswith(SUMMED_POWER)
    energy = series(points, origin_ns, power if power.num_rows else None, counts_on=counts_on)
    return Device(
        name=name,
        kind=newest["device_type"],
        energy=energy,
        stated_idle_w=stated_idle_w,
        quality=quality,
        origin_ns=origin_ns,
        **said,
    )
