"""The numbers that decide a training run, with where they come from."""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

OptimizerName = Literal["adamw", "muon"]
OPTIMIZERS: Final[tuple[OptimizerName, ...]] = get_args(OptimizerName)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model's optimisation; the defaults suit four million parameters and batches of 1,280 tokens."""

    optimizer: OptimizerName = "adamw"
    peak_lr: float = 1e-3
    floor_lr: float = 2e-5
    warmup_share: float = 0.04
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    batch_tokens: int = 1280
    pool_exercises: int = 4096
    validate_every_pools: int = 3
    validation_exercises: int = 720
    patience: int = 12
    """Validations without a better score before the run ends early."""
    mixed_precision: bool = True
    gradient_checkpointing: bool = False

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then a cosine to the floor; ``progress`` runs from 0 to 1 over the budget."""
        if progress < self.warmup_share:
            return self.peak_lr * max(progress, 1e-3) / self.warmup_share
        done = (min(progress, 1.0) - self.warmup_share) / (1.0 - self.warmup_share)
        return self.floor_lr + (self.peak_lr - self.floor_lr) * 0.5 * (1.0 + math.cos(math.pi * done))


RECIPES = {
    "adamw": {"expert": Recipe(), "scout": Recipe(peak_lr=2e-3)},
    # Larger batches, because making a step orthogonal costs as much as 1,280 tokens of the expert.
    "muon": {
        "expert": Recipe("muon", peak_lr=3e-3, floor_lr=3e-5, batch_tokens=2560, validate_every_pools=2),
        "scout": Recipe("muon", peak_lr=5e-3, floor_lr=3e-5, batch_tokens=2560, validate_every_pools=2),
    },
}
"""By optimiser and model; the shipped weights are Muon's."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When a run is over: after ``steps`` or after ``seconds`` of training time, whichever is given and first."""

    steps: int | None = None
    seconds: float | None = None

    def progress(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used up; 1 or more means stop.

        With steps alone a run is repeatable to the bit; with seconds the schedule hangs on the machine's speed.
        """
        shares = [steps / self.steps if self.steps else 1.0] if self.steps is not None else []
        if self.seconds is not None:
            shares.append(seconds / self.seconds if self.seconds else 1.0)
        return max(shares, default=1.0)
