"""Confidence early exit: a decoded token that an exit head is sure of skips the layers after it.

As in CALM (arXiv 2207.07061): the head's distribution is the token's, and the layers that it skipped take their keys
and values from the state it left with, so later tokens find no holes. An exit head is a norm of its own and the shared
output matrix (LayerSkip, arXiv 2404.16710). What a threshold costs in quality is measured in docs/engine.md; the
answer is another than the whole model's, and nobody here knows when it is a worse one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F

from serving.engine import rope
from serving.engine.batch import Batch, without
from serving.engine.int8 import Int8Linear
from serving.engine.kv import KvCache
from serving.engine.linear import Linear

Confidence = Callable[[torch.Tensor], torch.Tensor]
"""From logits ``[row, vocabulary]`` to a confidence per row, 0 to 1."""


def top_probability(logits: torch.Tensor) -> torch.Tensor:
    """The likeliest token's probability."""
    return torch.softmax(logits, dim=-1).amax(dim=-1)


def margin(logits: torch.Tensor) -> torch.Tensor:
    """The likeliest token's probability less the second one's."""
    best = torch.softmax(logits, dim=-1).topk(2, dim=-1).values
    return best[:, 0] - best[:, 1]


CONFIDENCES: Final[Mapping[str, Confidence]] = {"margin": margin, "top_probability": top_probability}


@dataclass(frozen=True, slots=True)
class Departed:
    """What a forward pass with exits says."""

    logits: torch.Tensor
    """``[logit_row, vocabulary]``, float32; of the exit head for those that left."""
    num_layers: list[int]
    """Layers that each decode row went through."""


@dataclass(frozen=True, slots=True)
class ExitHead:
    """Where the model can be left, and what fills the cache of the layers after it."""

    num_layers: int
    norm: torch.Tensor
    later_keys_values: Linear | Int8Linear
    """From the normalised state to keys and values of all later layers: their norms are folded in."""
    key_norms: torch.Tensor | None
    """``[later layer, key head, dim]``, of families that normalise heads."""

    def quantised(self) -> "ExitHead":
        """The same exit with its product in eight bits."""
        linear = self.later_keys_values
        if isinstance(linear, Int8Linear):
            return self
        return replace(self, later_keys_values=Int8Linear(linear.weight, linear.bias))

    def fill(
        self, states: torch.Tensor, rotations: torch.Tensor, kv: KvCache, kv_rows: torch.Tensor, epsilon: float
    ) -> None:
        """Write the later layers' keys and values of rows that leave: projections of their last states."""
        num_heads, head_dim = kv.shape.num_heads, kv.shape.head_dim
        projected = self.later_keys_values(F.rms_norm(states, states.shape[-1:], None, epsilon))
        keys, values = projected.view(len(states), -1, 2, num_heads, head_dim).unbind(2)
        if self.key_norms is not None:
            keys = F.rms_norm(keys, keys.shape[-1:], None, epsilon) * self.key_norms
        rotated = rope.rotate(keys.reshape(len(states), -1, head_dim), rotations)
        kv.write_from(self.num_layers, kv_rows, rotated.view(keys.shape), values)


class Leaving:
    """Who is still in the model, and what was said by those who left. Rows are numbered as in the whole batch."""

    def __init__(self, batch: Batch, num_layers: int) -> None:
        self.batch = batch
        """The rows that are left."""
        self._depths = torch.full((batch.num_decode_rows,), num_layers, device=batch.tokens.device)
        self._decoding = torch.arange(batch.num_decode_rows, device=batch.tokens.device)
        self._said: list[tuple[torch.Tensor, torch.Tensor]] = []

    def leave(self, gone: torch.Tensor, logits: torch.Tensor, num_layers: int) -> torch.Tensor:
        """Decode rows that are ``gone`` (a mask) say their ``logits`` and leave; which rows of the batch stay."""
        rows = self._decoding[gone]
        self._depths[rows] = num_layers
        self._said.append((rows, logits[gone]))
        self._decoding = self._decoding[~gone]
        self.batch, left = without(self.batch, gone)
        return left

    def finish(self, logits: torch.Tensor) -> Departed:
        """With the ``logits`` of those who went through all layers, prompts last."""
        if not self._said:
            return Departed(logits, self._depths.tolist())
        num_prompts = len(logits) - len(self._decoding)
        whole = logits.new_empty(len(self._depths) + num_prompts, logits.shape[1])
        for rows, said in self._said:
            whole[rows] = said
        whole[self._decoding] = logits[: len(self._decoding)]
        whole[len(self._depths) :] = logits[len(self._decoding) :]
        return Departed(whole, self._depths.tolist())
