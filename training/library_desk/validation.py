"""The validation set of a run: every cell alike, scored by one forward pass per batch."""

from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from training.library_desk import batches, tasks, vocabulary
from training.library_desk.batches import Batch
from training.library_desk.exercise import Exercise
from training.library_desk.losses import Depth, answered_right
from training.library_desk.tasks import Cell

_SEED: Final = 0
_ROWS: Final = 48


@dataclass(frozen=True, slots=True)
class Validation:
    """Batches by cell, drawn from the validation split and never trained on nor reported as held-out."""

    batches_of: dict[Cell, list[Batch]]

    @classmethod
    def drawn(cls, tokenizer: Tokenizer, num_exercises: int) -> "Validation":
        """About ``num_exercises``, the same on every call."""
        exercises = tasks.sample(_SEED, num_exercises, easy_share=0.5, split="validation")
        by_cell = {cell: [one for one in exercises if (one.family, one.difficulty) == cell] for cell in tasks.cells()}
        return cls({cell: _batches(tokenizer, ones) for cell, ones in by_cell.items() if ones})

    def accuracy(self, model: LlamaForCausalLM) -> dict[Depth, dict[Cell, float]]:
        """Share of exactly right answers, by depth and cell."""
        was_training = model.training
        model.train(False)
        right = {cell: [answered_right(model, batch) for batch in own] for cell, own in self.batches_of.items()}
        model.train(was_training)
        depths = next(iter(right.values()))[0]
        return {depth: {cell: _share([one[depth] for one in own]) for cell, own in right.items()} for depth in depths}


def _share(right: list[torch.Tensor]) -> float:
    return torch.cat(right).float().mean().item()


def _batches(tokenizer: Tokenizer, exercises: list[Exercise]) -> list[Batch]:
    """One exercise in a row, so that a row is right or wrong."""
    rows = [[[pair]] for pair in vocabulary.encode(tokenizer, exercises)]
    return [batches.stacked(rows[start : start + _ROWS]) for start in range(0, len(rows), _ROWS)]
