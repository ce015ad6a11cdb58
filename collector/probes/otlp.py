"""Energy of devices whose emitters send power only (``hw.power``), or energy as differences (delta ``hw.energy``).

Cumulative ``hw.energy`` needs no probe: it is stored as it comes, and a device that sends it is left alone here. Power
is integrated by trapezoids at the sender's own times, as ``otlp.power`` and ``estimated``: what happens between two
points is not known. A hole of more than 2.5 times the usual period (and 5 s) begins a new series, as does a difference
that does not begin where the last one ended. Of a device that two services tell of, the first counts.
"""

from dataclasses import dataclass, field

from collector.ingesting.tap import Point
from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from collector.sampling.sampler import SERVICE
from conventions.attributes import HW_NAME
from conventions.instruments import HW_ENERGY, HW_POWER

KINDS = {"gpu": "gpu", "cpu": "cpu", "memory": "memory"}
SCOPES = {"gpu": "gpu", "cpu": "cpu_package", "memory": "dram", "host": "host"}
USUAL_PERIODS, SHORTEST_HOLE_S = 2.5, 5.0
SHORTEST_UNHEARD_S = 0.02  # between two differences; clocks of one sender are no finer
POINTS_FIRST = 3  # of power without energy, before a device counts as one that sends power only


@dataclass(slots=True)
class _Integral:
    """Joules of one device so far, from ``start_ns``; ``last`` is the newest point and ``period_s`` the usual one."""

    service: str | None
    start_ns: int
    last: Point
    joules: float = 0.0
    period_s: float = 0.0
    points: int = 1
    samples: list[Sample] = field(default_factory=list)


class Probe:
    """All devices that others send power of."""

    estimates = True
    scopes: frozenset[str] = frozenset()  # nothing is known before somebody sends

    def __init__(self, context: ProbeContext) -> None:
        if context.open_tap is None:
            raise ProbeUnavailable("integrates hw.power that others send, inside the collector")
        self._tap = context.open_tap(frozenset({HW_ENERGY.name, HW_POWER.name}))
        self._metered: set[str] = set()
        self._integrals: dict[str, _Integral] = {}
        self.description = "integrates hw.power of devices that send no hw.energy, and sums delta hw.energy"

    def read(self) -> list[Sample]:
        """Cumulative energy (J) at the time of every point that came since the last reading."""
        for point in sorted(self._tap.take(), key=lambda one: one.time_ns):
            if point.device is not None and point.service != SERVICE:
                self._take(point.device, point)
        ready = [one for one in self._integrals.values() if one.points >= POINTS_FIRST or _is_delta(one.last)]
        samples = [sample for one in ready for sample in one.samples]
        for one in ready:
            one.samples = []
        return samples

    def close(self) -> None:
        """Nothing is held open."""

    def _take(self, device: str, point: Point) -> None:
        if point.metric == HW_ENERGY.name and not _is_delta(point):
            self._metered.add(device)
            self._integrals.pop(device, None)
        if device in self._metered:
            return
        known = self._integrals.get(device)
        if known is None or (_is_delta(point) and not _is_delta(known.last)):
            self._integrals[device] = _begun(point)
        elif known.service == point.service and point.metric == known.last.metric:
            _advance(known, point)


def _begun(point: Point) -> _Integral:
    """The first point of a device; a difference counts from its own start."""
    if not _is_delta(point):
        begun = _Integral(point.service, point.time_ns, point)
        begun.samples.append(_sample(begun))
        return begun
    begun = _Integral(point.service, point.start_ns or point.time_ns, point, point.value)
    begun.samples = [_sample(begun, begun.start_ns, 0.0), _sample(begun)]
    return begun


def _advance(known: _Integral, point: Point) -> None:
    elapsed_s = (point.time_ns - known.last.time_ns) / 1e9
    if elapsed_s <= 0:
        return
    if _is_delta(point):
        if _unheard_s(known.last, point) > SHORTEST_UNHEARD_S:
            known.start_ns, known.joules = point.start_ns or point.time_ns, 0.0
            known.samples.append(_sample(known, known.start_ns, 0.0))
        known.joules += point.value
    elif known.period_s and elapsed_s > max(SHORTEST_HOLE_S, USUAL_PERIODS * known.period_s):
        known.start_ns, known.joules = point.time_ns, 0.0
    else:
        known.joules += elapsed_s * (point.value + known.last.value) / 2.0
        known.period_s = min(known.period_s or elapsed_s, elapsed_s)
    known.last = point
    known.points += 1
    known.samples.append(_sample(known))


def _unheard_s(last: Point, point: Point) -> float:
    """Seconds between two differences that neither covers: an export was lost."""
    return 0.0 if point.start_ns is None else (point.start_ns - last.time_ns) / 1e9


def _is_delta(point: Point) -> bool:
    return point.metric == HW_ENERGY.name and point.temporality == "delta"


def _sample(known: _Integral, time_ns: int | None = None, joules: float | None = None) -> Sample:
    point = known.last
    kind = KINDS.get(point.device_type or "", "host")
    device = Device(point.device or "", kind, point.attributes.get(HW_NAME) or point.device or "")  # type: ignore[arg-type]
    summed = _is_delta(point)
    provenance = Provenance(
        point.source or "otlp" if summed else "otlp.power",
        point.scope or SCOPES[kind],
        point.quality or "measured" if summed else _quality(point.quality),
    )
    return Sample(
        HW_ENERGY,
        known.joules if joules is None else joules,
        point.time_ns if time_ns is None else time_ns,
        known.start_ns,
        device,
        provenance,
        host=point.resource.get("host.name"),
    )


def _quality(said: str | None) -> str:
    """Integrated power is an estimate, and what was simulated stays so."""
    return "simulated" if said == "simulated" else "estimated"
