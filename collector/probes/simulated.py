"""A GPU that is not there: joules from what engines did, by a stated model. For development; labelled ``simulated``.

Energy is 80 W at rest, 3.1 J per engine step, 0.012 J per computed prompt position, 0.068 J per decoded one and
2·10⁻⁵ J per position of its context: an 8B model on an H100, as fitted to ML.ENERGY's figures
(``analytics.ledger.simulation.truth``). Work is what engines say in their counters; those come once a second and late,
so the device is shown ``LAG_S`` behind.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from analytics.ledger.simulation.truth import Truth
from collector.ingesting.tap import Point
from collector.sampling.sample import Device, ProbeContext, ProbeUnavailable, Provenance, Sample
from conventions import instruments
from conventions.instruments import HW_ENERGY, HW_IDLE_POWER

LAG_S = 3.0
KEPT = 64  # points of a counter: a minute, at one a second
PROVENANCE = Provenance("simulated", "gpu", "simulated")
DEVICE = Device("simulated:0", "gpu", "simulated H100, 8B model")
MODEL = Truth()
JOULES = {
    instruments.ENGINE_STEPS.name: MODEL.b,
    instruments.ENGINE_PREFILL_TOKENS.name: MODEL.a_p,
    instruments.ENGINE_DECODE_TOKENS.name: MODEL.a_d,
    instruments.ENGINE_GENERATED_TOKENS.name: MODEL.a_d,  # where decoded positions are not counted (stock vLLM)
    instruments.ENGINE_DECODE_CONTEXT.name: MODEL.a_c,
}
Series = tuple[str, str]  # engine, metric


@dataclass(slots=True)
class _Work:
    """One counter of one engine: when it stood where, restarts left out, and what the last point said."""

    raw: float
    start_ns: int | None
    times_ns: list[int]
    done: list[float] = field(default_factory=lambda: [0.0])

    def advance(self, point: Point) -> None:
        """One more point; the first of a restarted engine adds nothing."""
        if point.time_ns <= self.times_ns[-1]:
            return
        restarted = point.value < self.raw or point.start_ns != self.start_ns
        self.times_ns.append(point.time_ns)
        self.done.append(self.done[-1] + (0.0 if restarted else point.value - self.raw))
        self.raw, self.start_ns = point.value, point.start_ns
        del self.times_ns[:-KEPT], self.done[:-KEPT]

    def at(self, time_ns: int) -> float:
        """How much was done until then since the first point."""
        return float(np.interp(time_ns, self.times_ns, self.done))


class Probe:
    """One simulated device that all engines share."""

    estimates = True
    scopes = frozenset({"gpu"})

    def __init__(self, context: ProbeContext) -> None:
        if context.open_tap is None:
            raise ProbeUnavailable("simulates a GPU from engine counters, inside the collector")
        if context.covered & {"gpu", "module"}:
            raise ProbeUnavailable("not used: a GPU is measured by another probe")
        self._tap = context.open_tap(frozenset(JOULES))
        self._start_ns = time.time_ns()
        self._work: dict[Series, _Work] = {}
        self._joules = 0.0
        self.description = f"simulated: {DEVICE.name}, {MODEL.idle_w:g} W at rest, joules by engine steps and tokens"

    def read(self) -> list[Sample]:
        """Joules since the probe was opened, ``LAG_S`` ago, and the power at rest."""
        for point in sorted(self._tap.take(), key=lambda one: one.time_ns):
            self._take(point)
        then_ns = time.time_ns() - round(LAG_S * 1e9)
        if then_ns < self._start_ns:
            return []
        idle_j = MODEL.idle_w * (then_ns - self._start_ns) / 1e9
        self._joules = max(self._joules, idle_j + self._active_j(then_ns))  # a late counter is made up for
        return [
            Sample(HW_ENERGY, self._joules, then_ns, self._start_ns, DEVICE, PROVENANCE),
            Sample(HW_IDLE_POWER, MODEL.idle_w, then_ns, None, DEVICE, PROVENANCE),
        ]

    def close(self) -> None:
        """Nothing is held open."""

    def _take(self, point: Point) -> None:
        if point.engine is None:
            return
        series = (point.engine, point.metric)
        if series in self._work:
            self._work[series].advance(point)
        else:
            self._work[series] = _Work(point.value, point.start_ns, [point.time_ns])

    def _active_j(self, time_ns: int) -> float:
        by_engine: dict[str, dict[str, float]] = defaultdict(dict)
        for (engine, metric), work in self._work.items():
            by_engine[engine][metric] = JOULES[metric] * work.at(time_ns)
        for joules in by_engine.values():
            if instruments.ENGINE_DECODE_TOKENS.name in joules:
                joules.pop(instruments.ENGINE_GENERATED_TOKENS.name, None)
        return sum(sum(joules.values()) for joules in by_engine.values())
