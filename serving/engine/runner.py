"""Runs one step on the model: spans in, one drawn token per sampling span out. Knows no requests and no clock."""

from collections.abc import Sequence as SequenceOf

import torch

from serving.engine import batch, sampling
from serving.engine.batch import Span
from serving.engine.kv import KvCache, Move
from serving.engine.model import Model
from serving.engine.sampling import Draw, Sampled


class Runner:
    """A model and its cache on one device; used by one thread."""

    def __init__(self, model: Model, kv: KvCache) -> None:
        self._model = model
        self._kv = kv

    def run(self, spans: SequenceOf[Span], draws: SequenceOf[Draw]) -> list[Sampled]:
        """Compute the spans (decodes first) and draw a token for each that samples, in the same order.

        Raises ``RuntimeError`` (torch's) when the device fails or is out of memory.
        """
        with torch.inference_mode():
            inputs = batch.assemble(spans, self._kv, self._kv.keys.device, self._kv.keys.dtype)
            logits = self._model.forward(inputs, self._kv)
            return sampling.sample(logits, draws) if draws else []

    def move(self, move: Move, num_positions: int) -> None:
        """Follow a slot that moved, with its first ``num_positions`` states."""
        with torch.inference_mode():
            self._kv.move(move, num_positions)

    def save(self, slot: int, start: int, places: list[int]) -> None:
        """Copy a slot's states from ``start`` on into cache blocks."""
        with torch.inference_mode():
            self._kv.save(slot, start, places)

    def restore(self, slot: int, places: list[int]) -> None:
        """Copy cache blocks into a slot's first positions."""
        with torch.inference_mode():
            self._kv.restore(slot, places)
