"""One training run: pools of batches, steps, validation, checkpoints; it can stop anywhere and go on."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import torch
from transformers import LlamaForCausalLM

from training.job import current_job
from training.library_desk import batches, tasks, vocabulary
from training.library_desk.batches import Batch
from training.library_desk.journal import Journal
from training.library_desk.losses import full_depth
from training.library_desk.optimizer import Optimizer
from training.library_desk.recipe import Budget, Recipe
from training.library_desk.tasks import Cell
from training.library_desk.validation import Validation

Loss = Callable[[LlamaForCausalLM, Batch], torch.Tensor]

_ERROR_FLOOR: Final = 0.12
"""Weight of a cell that is always right: enough not to be forgotten."""
_HEAD_START: Final = 0.2
"""Weight of a hard level's errors while its easy level is still all wrong."""
_LOG_EVERY_STEPS: Final = 50
_CHECKPOINT_EVERY_STEPS: Final = 200

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Position:
    """Where a run stands; with the weights and the optimiser's state it is all that a resume needs."""

    step: int = 0
    seconds: float = 0.0
    num_tokens: int = 0
    pool: int = 0
    batch: int = 0
    leg_step: int = 0
    leg_seconds: float = 0.0
    """Where the present schedule began; past 0 after a warm restart."""
    job_id: str | None = None
    """Under which id the run reports; a resumed run goes on under it."""
    best_score: float = 0.0
    stale_validations: int = 0
    mixture: dict[Cell, float] = field(default_factory=lambda: tasks.traffic_mix(0.8))


class Learner:
    """Trains ``model`` with ``loss`` until the budget is used up or validation stops improving."""

    def __init__(
        self, model: LlamaForCausalLM, loss: Loss, recipe: Recipe, budget: Budget, seed: int, journal: Journal
    ) -> None:
        self.model, self._loss, self._recipe, self._budget = model, loss, recipe, budget
        self._seed, self._journal = seed, journal
        self._tokenizer = vocabulary.build()
        self._validation = Validation.drawn(self._tokenizer, recipe.validation_exercises)
        self._optimizer = Optimizer(model, recipe)
        self.position = Position()
        if recipe.gradient_checkpointing:
            model.activation_checkpointing_enable()

    def run(self, checkpoint: Path) -> None:
        """Train to the end, saving to ``checkpoint`` on the way and at the end."""
        self.model.train()
        started_at, already_s = time.monotonic(), self.position.seconds
        for batch in self._stream():
            loss, norm = self._step(batch)
            self.position.seconds = already_s + time.monotonic() - started_at
            current_job().step(samples=batch.num_exercises, tokens=batch.num_tokens, loss=loss)
            self._record(loss, norm)
            if self.position.step % _CHECKPOINT_EVERY_STEPS == 0:
                self.save(checkpoint)
        self.save(checkpoint)

    @property
    def progress(self) -> float:
        """Share of the budget that is used up."""
        at = self.position
        return self._budget.progress(at.step - at.leg_step, at.seconds - at.leg_seconds)

    def save(self, checkpoint: Path) -> None:
        """Write everything a resume needs; the file appears whole or not at all."""
        weights, moments = self.model.state_dict(), self._optimizer.state_dict()
        state = {"model": weights, "optimizer": moments, "position": asdict(self.position)}
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(checkpoint)

    def resume(self, checkpoint: Path, warm_restart: bool = False) -> None:
        """Go on from ``checkpoint``; a warm restart (Loshchilov and Hutter 2017) begins schedule and budget anew."""
        state = torch.load(checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.position = Position(**state["position"])
        if warm_restart:
            self.position.leg_step, self.position.leg_seconds = self.position.step, self.position.seconds
            self.position.stale_validations, self.position.best_score = 0, 0.0

    def _stream(self) -> Iterator[Batch]:
        """Batches from the current position on, until the run is over; validates between pools."""
        while not self._is_over():
            pool = batches.pool(
                self._tokenizer, self._seed, self.position.pool, self.position.mixture,
                self._recipe.pool_exercises, self._recipe.batch_tokens,
            )  # fmt: skip
            for batch in pool[self.position.batch :]:
                yield batch
                if self.progress >= 1.0:
                    return
            self._turn_pool()

    def _is_over(self) -> bool:
        return self.progress >= 1.0 or self.position.stale_validations >= self._recipe.patience

    def _turn_pool(self) -> None:
        self.position.pool += 1
        self.position.batch = 0
        if self.position.pool % self._recipe.validate_every_pools == 0:
            self._validate()

    def _step(self, batch: Batch) -> tuple[float, float]:
        """One optimiser step; the loss in nats per answer token and the gradient's norm before clipping."""
        with self._precision():
            loss = self._loss(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.max_grad_norm)
        self._optimizer.step_at(self._recipe.learning_rate(self.progress))
        self.position.step += 1
        self.position.batch += 1
        self.position.num_tokens += batch.num_tokens
        return loss.item(), norm.item()

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._recipe.mixed_precision)

    def _record(self, loss: float, grad_norm: float) -> None:
        if self.position.step % _LOG_EVERY_STEPS:
            return
        at = self.position
        self._journal.write(
            step=at.step, loss=loss, lr=self._recipe.learning_rate(self.progress), grad_norm=grad_norm,
            seconds=at.seconds, tokens=at.num_tokens, tokens_per_s=at.num_tokens / at.seconds,
        )  # fmt: skip

    def _validate(self) -> None:
        """Score every cell, and draw the next pools where the errors are."""
        with self._precision():
            by_depth = self._validation.accuracy(self.model)
        accuracy = by_depth.pop(full_depth(self.model))
        score = sum(accuracy.values()) / len(accuracy)
        at = self.position
        at.stale_validations = 0 if score > at.best_score else at.stale_validations + 1
        at.best_score = max(score, at.best_score)
        at.mixture = next_mixture(accuracy)
        by_cell = {"/".join(cell): round(right, 3) for cell, right in accuracy.items()}
        exits = {f"exit_{k}_validation_mean": sum(own.values()) / len(own) for k, own in by_depth.items()}
        self._journal.write(step=at.step, seconds=at.seconds, validation=by_cell, validation_mean=score, **exits)
        logger.info("step %d, %.0f s: validation %.3f %s %s", at.step, at.seconds, score, by_cell, exits)


def next_mixture(accuracy: Mapping[Cell, float]) -> dict[Cell, float]:
    """Weights of the cells in the next pools: by their errors, a hard level waiting until its easy one is learnt."""
    readiness = {
        (family, "hard"): _HEAD_START + right for (family, level), right in accuracy.items() if level == "easy"
    }
    return {cell: _ERROR_FLOOR + (1.0 - right) * readiness.get(cell, 1.0) for cell, right in accuracy.items()}
