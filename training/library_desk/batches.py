"""Packed batches of exercises, drawn pool by pool so that any batch can be reached again after a stop."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer

from training.library_desk import tasks, vocabulary
from training.library_desk.exercise import Exercise
from training.library_desk.tasks import Cell
from training.library_desk.vocabulary import Pair

Conversation = list[Pair]
"""The turns of one exercise."""

ROW_TOKENS: Final = 96
"""Longer than every exercise with its follow-ups; two to four fit in one row."""
_OPEN_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of packed exercises, all tensors (rows, length).

    ``positions`` start again at 0 with every exercise (and stay 0 in padding); ``is_answer`` marks the tokens
    to be predicted.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    is_answer: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """Positions computed, padding included."""
        return self.ids.numel()

    @property
    def num_exercises(self) -> int:
        """Exercises that begin in it; padding after them has position 0 too, but follows padding."""
        return int(((self.positions == 0) & (self.ids != vocabulary.PAD_ID)).sum())

    def first_rows(self, share: float) -> "Batch":
        """The leading rows, at least one."""
        count = max(1, round(share * len(self.ids)))
        return Batch(self.ids[:count], self.positions[:count], self.is_answer[:count])

    def attention_mask(self) -> torch.Tensor:
        """Additive mask (rows, 1, length, length): causal, and no exercise sees its neighbour in the row."""
        exercise = (self.positions == 0).cumsum(dim=1)
        visible = (exercise[:, :, None] == exercise[:, None, :]).tril()
        blocked = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
        return blocked[:, None]


def pool(
    tokenizer: Tokenizer, seed: int, index: int, weights: Mapping[Cell, float], num_exercises: int, batch_tokens: int
) -> list[Batch]:
    """The batches of pool ``index``: the same for the same arguments, whatever came before."""
    rng = random.Random(f"pool-{seed}-{index}")
    return packed(tokenizer, tasks.mixture(rng, num_exercises, weights, "train"), batch_tokens)


def packed(tokenizer: Tokenizer, exercises: list[Exercise], batch_tokens: int) -> list[Batch]:
    """Batches of ``batch_tokens`` positions in the order of ``exercises``, each row filled first-fit.

    Batches by length were tried first: as every family has its own length they held one family each, and
    the loss swung between families instead of falling.
    """
    rows = _rows(vocabulary.encode_conversations(tokenizer, exercises))
    size = batch_tokens // ROW_TOKENS
    return [stacked(rows[start : start + size]) for start in range(0, len(rows), size)]


def stacked(rows: list[list[Conversation]]) -> Batch:
    """One batch, as wide as its longest row."""
    width = max(map(_used, rows))
    ids = torch.full((len(rows), width), vocabulary.PAD_ID)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    is_answer = torch.zeros((len(rows), width), dtype=torch.bool)
    for index, row in enumerate(rows):
        used = _used(row)
        ids[index, :used] = torch.tensor([token for one in row for pair in one for part in pair for token in part])
        positions[index, :used] = torch.cat([torch.arange(_length(one)) for one in row])
        is_answer[index, :used] = torch.cat([_answer_flags(pair) for one in row for pair in one])
    return Batch(ids, positions, is_answer)


def _answer_flags(pair: Pair) -> torch.Tensor:
    prompt, answer = pair
    return torch.arange(len(prompt) + len(answer)) >= len(prompt)


def _rows(conversations: list[Conversation]) -> list[list[Conversation]]:
    """First-fit over the last few rows; an exercise longer than a row is a mistake of its task."""
    rows: list[list[Conversation]] = []
    for conversation in conversations:
        length = _length(conversation)
        assert length <= ROW_TOKENS
        fitting = (row for row in rows[-_OPEN_ROWS:] if _used(row) + length <= ROW_TOKENS)
        row = next(fitting, None)
        if row is None:
            rows.append([conversation])
        else:
            row.append(conversation)
    return rows


def _used(row: list[Conversation]) -> int:
    return sum(map(_length, row))


def _length(conversation: Conversation) -> int:
    return sum(len(prompt) + len(answer) for prompt, answer in conversation)
