"""Chooses, interval by interval, the best rule that the evidence carries; the choice is written on every row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.ledger import rules
from analytics.ledger.components import CONSTANTS, NUM_COMPONENTS
from analytics.ledger.evidence import COUNTERS, Evidence, jointly_known, silenced
from analytics.ledger.fitting import Fit
from analytics.ledger.inputs import AUTOMATIC, Flags, Floats
from analytics.ledger.rules import RuleLike
from conventions import plugins

PACKAGE = "analytics.ledger.rules"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One rule and the intervals that it splits."""

    method: str
    joules: bool
    fit: Fit
    fresh: bool  # fitted now, not taken from before
    intervals: Flags
    evidence: tuple[Evidence, ...]


class Pooled:
    """The evidence of a pool's engines, of each kind once and only when a rule asks for it."""

    def __init__(
        self, engines: tuple[str, ...], read: Callable[[str, str], Evidence], visible: Mapping[str, Flags]
    ) -> None:
        self.engines = engines
        self._read = read
        self._visible = [visible[engine] for engine in engines]

    def of(self, kind: str) -> tuple[tuple[Evidence, ...], Flags]:
        """Evidence of ``kind`` per engine, and the intervals in which it is known for all of them."""
        found = tuple(self._read(kind, engine) for engine in self.engines)
        if kind == COUNTERS:
            return found, jointly_known(found, self._visible)
        return found, np.ones(len(found[0].known), np.bool_)


def choose(pooled: Pooled, active: Floats, known: Flags, placed: Flags, prior: "Prior", rule: str) -> list[Chosen]:
    """Rules in order, each for the intervals that the ones before it left.

    ``known``: intervals with energy; ``placed``: those whose energy is known to fall there, on which constants are
    found. A named ``rule`` goes first; what it cannot split falls to the others. Raises ``PluginError`` for one that is
    unknown.
    """
    remaining = known.copy()
    chosen = []
    names = rules.ORDER if rule == AUTOMATIC else (rule, *(name for name in rules.ORDER if name != rule))
    for name in names:
        if not remaining.any():
            break
        loaded: RuleLike = plugins.load(PACKAGE, name, "Rule")()
        evidence, usable = pooled.of(loaded.evidence)
        usable = usable & remaining
        before = prior.fit(name, pooled.engines)
        work = np.stack([one.work for one in evidence], axis=1)
        fit = loaded.fit(work, active, usable & placed, before) if usable.any() else None
        if fit is not None:
            kept = tuple(silenced(one, usable) for one in evidence)
            fresh = fit is not before and not fit.anchored
            chosen.append(Chosen(name, loaded.joules, fit, fresh, usable, kept))
            remaining &= ~usable
    return chosen


class Prior:
    """Constants fitted before on one device: the newest per engine and method."""

    def __init__(self, models: pa.Table | None, device: str) -> None:
        self._newest: dict[tuple[str, str], dict[str, Any]] = {}
        rows = [] if models is None else models.sort_by("fitted_at").to_pylist()
        mine = [row for row in rows if row["device"] == device]
        self._newest.update({(row["method"], row["engine"]): row for row in mine})
        self.idle = (float(mine[-1]["idle_w"]), str(mine[-1].get("idle_basis"))) if mine else None  # W and its basis

    def fit(self, method: str, engines: tuple[str, ...]) -> Fit | None:
        """Constants of all ``engines`` by ``method``; None when one is missing.

        Their errors are stated where all come from one fit that kept them.
        """
        rows = [self._newest.get((method, engine)) for engine in engines]
        found = [row for row in rows if row is not None]
        if not rows or len(found) < len(rows):
            return None
        constants = np.array([[row[name] for name in CONSTANTS] for row in found], np.float64)
        size = constants.size
        kept = [row["covariance"] for row in found]
        together = len({row["fitted_at"] for row in found}) == 1
        if not together or any(own is None or len(own) != NUM_COMPONENTS * size for own in kept):
            return Fit(constants)
        covariance = np.array(kept, np.float64).reshape(size, size)
        return Fit(constants, covariance, found[0]["residual_rms_j"], anchored=True)
