"""Scripted boards of the NVML emulator, and what they truly used. The script's statements are in ``emulator.c``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Step = tuple[float, float]  # from this second on, so many watts


@dataclass(frozen=True, slots=True)
class Failure:
    """Calls of ``kind`` (``energy``, ``usage``, ``instant``, ``handle``, ``any`` …) answer ``code`` meanwhile."""

    kind: str
    start_s: float
    end_s: float
    code: int


@dataclass(frozen=True, slots=True)
class Board:
    """One board: its power curve (the first step at 0 s), what happens to it, and ``settings`` of the emulator."""

    uuid: str
    steps: Sequence[Step]
    repeat_s: float = 0.0
    resets_s: Sequence[float] = ()
    failures: Sequence[Failure] = ()
    says: Sequence[tuple[float, float, float]] = ()
    """From, to (s), and the millijoules that the counter says meanwhile, whatever is true."""
    name: str = "NVIDIA H100 80GB HBM3"
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def peak_w(self) -> float:
        """The highest power of the curve."""
        return max(watts for _, watts in self.steps)

    def energy_j(self, start_s: float, end_s: float) -> float:
        """What the board truly used between two times of the script."""
        return self._until(end_s) - self._until(start_s)

    def lines(self) -> list[str]:
        """Its statements."""
        settings = " ".join(f"{key}={value!r}" for key, value in self.settings.items())
        return [
            f"board {self.uuid} {settings}",
            f"name {self.name}",
            *(f"power {at_s!r} {watts!r}" for at_s, watts in self.steps),
            *([f"repeat {self.repeat_s!r}"] if self.repeat_s else []),
            *(f"reset {at_s!r}" for at_s in self.resets_s),
            *(f"says {start_s!r} {end_s!r} {millijoules!r}" for start_s, end_s, millijoules in self.says),
            *(f"error {one.kind} {one.start_s!r} {one.end_s!r} {one.code}" for one in self.failures),
        ]

    def _until(self, t_s: float) -> float:
        if t_s <= 0:
            return self.steps[0][1] * t_s
        if not self.repeat_s:
            return self._within(t_s)
        rounds = math.floor(t_s / self.repeat_s)
        return rounds * self._within(self.repeat_s) + self._within(t_s - rounds * self.repeat_s)

    def _within(self, t_s: float) -> float:
        ends = [at_s for at_s, _ in self.steps[1:]] + [math.inf]
        spans = zip(self.steps, ends, strict=True)
        return sum(watts * max(0.0, min(end_s, t_s) - at_s) for (at_s, watts), end_s in spans)


def script(boards: Sequence[Board], reloads_s: Sequence[tuple[float, float]] = ()) -> str:
    """The text that the emulator plays; ``reloads_s`` are times without a driver, after which counters are 0."""
    lines = [f"reload {start_s!r} {end_s!r}" for start_s, end_s in reloads_s]
    return "\n".join([*lines, *(line for board in boards for line in board.lines())]) + "\n"


def square(low_w: float, high_w: float, period_s: float, duty: float = 0.5) -> tuple[list[Step], float]:
    """Steps and period of a square wave: ``high_w`` for the first ``duty`` of each period."""
    return [(0.0, high_w), (period_s * duty, low_w)], period_s
