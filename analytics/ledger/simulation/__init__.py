"""A continuous-batching engine with a known energy for every request: the ledger's ground truth.

``truth`` says what a step costs and whose it is, ``machine`` runs a load step by step, ``meters`` says what the ledger
gets to see of it. Used by tests and benchmarks; it does not know real hardware, so ``truth`` has forms that are not the
ledger's own (power cap, mixture of experts, drift) to be wrong about.
"""

from dataclasses import dataclass

import pyarrow as pa

from analytics.ledger.inputs import Floats
from analytics.ledger.simulation.machine import Load, Machine
from analytics.ledger.simulation.meters import DAY_NS, Meters, watch
from analytics.ledger.simulation.truth import Truth

__all__ = ["DAY_NS", "Load", "Meters", "Simulated", "Truth", "simulate"]


@dataclass(slots=True)
class Simulated:
    """What the ledger sees, and what it should find."""

    points: pa.Table
    attempts: pa.Table
    true_j: Floats  # active energy per attempt
    window_ns: tuple[int, int]
    mean_batch: float


def simulate(
    load: Load, truth: Truth, meters: Meters, *, engine: str = "e", seed: int = 0, idle_s: float = 20.0
) -> Simulated:
    """Run ``load`` after ``idle_s`` seconds without any and watch it through ``meters``."""
    machine = Machine(load, truth)
    log = machine.run()
    points, attempts, horizon_s = watch(machine, log, meters, engine, idle_s, seed)
    window = (DAY_NS, DAY_NS + round((horizon_s + idle_s) * 1e9))
    return Simulated(points, attempts, machine.true_j, window, log.mean_batch)
