"""attribute(): from cumulative counters and attempts to intervals, joules per attempt and fitted constants.

Pure: no clock, no I/O. Everything is computed on one grid over all points that were given and then cut to the window,
so that splitting a window changes nothing. The formulas are in the modules it calls, in this order: ``series``
(differences and gaps), ``devices`` and ``idle``, ``pools`` (CPU shares), ``work`` and ``claims`` (what attempts
computed), ``placement`` (ticks into intervals), ``choice`` and ``fitting`` (constants), ``levelling`` (noise),
``split`` (joules).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.ledger import evidence
from analytics.ledger.choice import Chosen, Pooled, Prior, choose
from analytics.ledger.devices import Balance, Device, balance, read_devices
from analytics.ledger.engines import Engine, read_engine
from analytics.ledger.evidence import COUNTERS, Evidence
from analytics.ledger.idle import idle_se
from analytics.ledger.inputs import HISTORY_LIMIT_NS, HISTORY_NS, Floats, Ints, LedgerInputs, LedgerResult
from analytics.ledger.jobs import Leg, on_device, presence, read_legs
from analytics.ledger.levelling import levelled, prediction
from analytics.ledger.pools import Claimants, Pool, divide
from analytics.ledger.rows import Rows
from analytics.ledger.series import edges_ns
from analytics.ledger.split import Doubt, split
from analytics.ledger.work import Work, work_of
from conventions import instruments


@dataclass(frozen=True, slots=True)
class _Site:
    """What all devices of one attribution share."""

    inputs: LedgerInputs
    edges_ns: Ints
    edges: Floats  # seconds from the first edge
    engines: dict[str, Engine]
    work: dict[str, Work]
    hosts: dict[str, str | None]
    legs: list[Leg]

    @property
    def origin_ns(self) -> int:
        return int(self.edges_ns[0])


def attribute(inputs: LedgerInputs) -> LedgerResult:
    """Split every device's energy in the window; see the module. Raises ``PluginError`` for an unknown rule."""
    site = _site(inputs)
    rows = Rows(inputs, site.edges_ns)
    for device in read_devices(inputs.points, site.origin_ns):
        _attribute_device(site, device, rows)
    return rows.result()


def _site(inputs: LedgerInputs) -> _Site:
    names = pc.unique(
        pa.chunked_array([*inputs.points["engine"].chunks, *inputs.attempts["engine"].chunks], pa.string())
    )
    engines = sorted(name for name in names.to_pylist() if name is not None)
    edges = edges_ns(_extent(inputs), inputs.settings.interval_s)
    origin = int(edges[0])
    since = _metered_since(inputs)
    read = {name: read_engine(inputs.points, name, origin, since) for name in engines}
    work = {name: work_of(inputs.attempts, name, origin) for name in engines}
    legs = read_legs(inputs.jobs, origin)
    return _Site(inputs, edges, (edges - origin) / 1e9, read, work, _hosts(inputs.points), legs)


def _hosts(points: pa.Table) -> dict[str, str | None]:
    """The host of each engine as its own counters name it."""
    named = points.filter(pc.and_(pc.is_valid(points["engine"]), pc.is_valid(points["host"])))
    return dict(zip(named["engine"].to_pylist(), named["host"].to_pylist(), strict=True))


def _extent(inputs: LedgerInputs) -> tuple[int, int]:
    """The window, and the time that points cover up to an hour before and after it.

    Points further away, by a broken clock perhaps, must not become millions of intervals.
    """
    times = pc.min_max(inputs.points["time_ns"]).as_py()
    begin, end = inputs.window_ns
    earliest, latest = begin - HISTORY_LIMIT_NS, end + HISTORY_LIMIT_NS
    first, last = times["min"] or begin, times["max"] or end
    return min(begin, max(first, earliest)), max(end, min(last, latest))


def _metered_since(inputs: LedgerInputs) -> int:
    """The first reading of energy, not before the history that callers read whole: single older points may be there."""
    points = inputs.points
    metered = points.filter(pc.equal(points["metric"], instruments.HW_ENERGY.name))["time_ns"]
    return max(pc.min(metered).as_py() or 0, inputs.window_ns[0] - HISTORY_NS)


def _attribute_device(site: _Site, device: Device, rows: Rows) -> None:
    if not device.energy.covers:
        return
    engines = _sharing(site, device)
    read = _reader(site, device)
    slack = float(np.median(np.diff(device.energy.times)))
    visible = {name: evidence.visible(site.work[name], site.edges, slack) for name in engines}
    at_work = np.zeros((len(engines), len(site.edges) - 1), np.bool_)
    for row, name in enumerate(engines):
        at_work[row] = read(COUNTERS, name).work.any(axis=1) | visible[name]
    prior = Prior(site.inputs.models, device.name)
    legs = on_device(site.legs, device.kind, device.name, device.host)
    working = np.asarray(at_work.any(axis=0) | presence(legs, site.edges).any(axis=0))
    whole = balance(device, site.inputs.points, site.edges, working, prior.idle)
    division = divide(device, site.inputs.points, Claimants(engines, at_work, legs), whole.active, site.edges)
    estimated = whole.estimated | division.estimated
    rows.place(device, estimated)
    overhead = whole.active.copy()
    for job in division.jobs:
        overhead -= job.joules
        rows.add_job(device, job, whole.known)
    for pool in division.pools:
        overhead -= pool.active
        known = whole.known & pool.known
        rule = site.inputs.settings.rule
        chosen = choose(Pooled(pool.engines, read, visible), pool.active, known, ~estimated, prior, rule)
        rows.add_models(device, pool.engines, chosen, whole)
        moved = _moved(device, whole, pool, chosen)
        whole = replace(whole, idle=whole.idle - moved)
        doubt = Doubt(estimated, idle_se(whole.idle_w, whole.idle_basis) * np.diff(site.edges), moved)
        unexplained = _add_pool(site, device, replace(pool, active=pool.active + moved), chosen, doubt, rows)
        rows.add_no_work(device, pool.engines, np.where(known, unexplained, 0.0))
    rows.add_device(device, whole, np.maximum(overhead, 0.0), division.unshared)


def _reader(site: _Site, device: Device) -> Callable[[str, str], Evidence]:
    """Evidence of an engine on the grid of ``device``, by kind and name."""
    meter = device.energy

    @cache
    def read(kind: str, name: str) -> Evidence:
        if kind == COUNTERS:
            return evidence.from_counters(site.engines[name], site.work[name], meter, site.edges)
        return evidence.from_spans(site.work[name], meter, site.edges, busy=kind == evidence.BUSY_TIME)

    return read


def _moved(device: Device, whole: Balance, pool: Pool, chosen: list[Chosen]) -> Floats:
    """Joules of each interval that are the pool's and not idle; a CPU's energy was split over processes before."""
    if device.kind != "gpu":
        return np.zeros(len(pool.active))
    return levelled(whole.idle, pool.active, [one for one in map(prediction, chosen) if one is not None])


def _add_pool(site: _Site, device: Device, pool: Pool, chosen: list[Chosen], doubt: Doubt, rows: Rows) -> Floats:
    """Adds what the pool's engines did, rule by rule; returns its active energy that no work explains."""
    unexplained = pool.active.copy()
    for rule in chosen:
        shares, explained = split(pool.active * rule.intervals, rule.evidence, rule.fit, doubt)
        unexplained[explained & rule.intervals] = 0.0
        for engine, share in zip(pool.engines, shares, strict=True):
            rows.add_share(device, engine, rule, share, site.work[engine])
    return unexplained


def _sharing(site: _Site, device: Device) -> tuple[str, ...]:
    """Engines that use ``device``: as told, else all of its host; engines that name no host belong to every one."""
    told = site.inputs.shared_by.get(device.name)
    if told is not None:
        return tuple(name for name in told if name in site.engines)
    hosts = site.hosts
    return tuple(name for name in site.engines if device.host is None or hosts.get(name) in (None, device.host))
