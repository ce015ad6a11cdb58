"""Asks the cheapest tier first and shows its answer only if it is probably right; else the next tier answers.

For ``auto``. How probably comes from the calibration of the tier's model (``tokenjoule calibrate``), which holds for
the kind of questions it was fitted on, answered greedily. The small model's work on a refused answer is spent, and
paid for by the request: it pays while fewer than 1 − (cheap ÷ dear) of the requests go on. A tier without a calibration
cannot be judged and is passed over, unless it is the dearest that is up.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from conventions import confidence
from conventions.confidence import Calibration
from serving.routing._types import AUTO_MODEL, Candidate, Choice, Snapshot, Trial, Verdict, fewest_in_flight, healthy


def shipped_calibrations() -> dict[str, Path]:
    """Those that lie beside the shipped weights, by model."""
    folder = Path(str(resources.files("serving"))) / "weights"
    return {path.parent.name: path for path in sorted(folder.glob(f"*/{confidence.FILE}"))}


@dataclass(frozen=True, slots=True)
class Policy:
    """An answer is kept from a chance of ``threshold`` on; ``calibration`` maps tiers to files; ``tiers`` from cheap to
    dear (default: in the order in which the backends name them)."""

    threshold: float = 0.9
    calibration: dict[str, Path] = field(default_factory=shipped_calibrations)
    tiers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold is a chance between 0 and 1, got {self.threshold}")
        for path in self.calibration.values():
            _read(path)

    def choose(self, snapshot: Snapshot) -> Choice:
        """The cheapest tier that can be judged, on trial; after a refused answer the next one."""
        able = healthy(snapshot.candidates)
        if snapshot.request.model != AUTO_MODEL:
            return Choice(fewest_in_flight(able).name, "model named")
        left = self._left(snapshot, able)
        for index, (tier, inside) in enumerate(left):
            last = index == len(left) - 1
            if last or tier in self.calibration:
                return Choice(fewest_in_flight(inside).name, _reason(snapshot, tier, last=last), on_trial=not last)
        return Choice(fewest_in_flight(able).name, "no tier of the settings is up")

    def judge(self, trial: Trial) -> Verdict:
        """Whether the client is shown this answer. One without odds of its tokens is not."""
        if not trial.tokens:
            return Verdict(False, f"{trial.tier} gave no odds")
        chance = _read(self.calibration[trial.tier]).of(trial.tokens)
        kept = chance >= self.threshold
        return Verdict(kept, f"{trial.tier} {'sure' if kept else 'unsure'}", chance)

    def _left(self, snapshot: Snapshot, able: tuple[Candidate, ...]) -> list[tuple[str, list[Candidate]]]:
        """Tiers that are up, with their backends, from the one behind the refused one on; all of them if none is."""
        tiers = self.tiers or snapshot.tiers or tuple(dict.fromkeys(one.tier for one in snapshot.candidates))
        if snapshot.refused is not None and snapshot.refused.tier in tiers:
            tiers = tiers[tiers.index(snapshot.refused.tier) + 1 :] or tiers
        inside = {tier: [candidate for candidate in able if candidate.tier == tier] for tier in tiers}
        return [(tier, found) for tier, found in inside.items() if found]


def _reason(snapshot: Snapshot, tier: str, *, last: bool) -> str:
    if snapshot.refused is not None:
        return f"{snapshot.refused.tier} refused → {tier}"
    return f"only {tier} is left" if last else f"{tier} on trial"


@cache
def _read(path: Path) -> Calibration:
    return confidence.read(path)
