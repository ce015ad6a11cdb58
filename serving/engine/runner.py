"""Runs one step on the model: spans in, the drawn tokens of each sampling span out. Knows no requests and no clock."""

from collections.abc import Sequence as SequenceOf

import torch

from serving.engine import sampling
from serving.engine.batch import Span
from serving.engine.draft import Ask, Drafter
from serving.engine.forward import logits_of
from serving.engine.kv import KvCache, Move
from serving.engine.model import Model
from serving.engine.sampling import Draw, Sampled


class Runner:
    """A model and its cache on one device, and who drafts for it; used by one thread."""

    def __init__(self, model: Model, kv: KvCache, drafter: Drafter | None = None) -> None:
        self._model = model
        self._kv = kv
        self._drafter = drafter

    def propose(self, asks: SequenceOf[Ask]) -> list[list[int]]:
        """Drafts for requests that decode, in order."""
        return self._drafter.propose(asks) if self._drafter is not None else [[] for _ in asks]

    def run(self, spans: SequenceOf[Span], draws: SequenceOf[Draw]) -> list[list[Sampled]]:
        """Compute the spans (decodes first, equal lengths together) and draw for each that samples, in the same order.

        One token each; more when drafts were right. Raises ``RuntimeError`` (torch's) when the device fails.
        """
        logits = logits_of(self._model, self._kv, spans)
        drafts = [span.tokens[len(span.tokens) - span.num_drafts :] for span in spans if span.samples]
        with torch.inference_mode():
            return sampling.verify(logits, draws, drafts) if draws else []

    def move(self, move: Move, num_positions: int) -> None:
        """Follow a slot that moved, with its first ``num_positions`` states."""
        with torch.inference_mode():
            self._kv.move(move, num_positions)
            if self._drafter is not None:
                self._drafter.move(move)

    def save(self, slot: int, start: int, places: list[int]) -> None:
        """Copy a slot's states from ``start`` on into cache blocks."""
        with torch.inference_mode():
            self._kv.save(slot, start, places)

    def restore(self, slot: int, places: list[int]) -> None:
        """Copy cache blocks into a slot's first positions."""
        with torch.inference_mode():
            self._kv.restore(slot, places)
