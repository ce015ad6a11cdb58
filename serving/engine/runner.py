"""Runs one step on the model: spans in, the drawn tokens of each sampling span out. Knows no requests and no clock."""

import functools
import itertools
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf

import torch

from serving.engine import exits, sampling
from serving.engine.batch import Span
from serving.engine.draft import Ask, Drafter
from serving.engine.exits import Confidence
from serving.engine.forward import exiting, logits_of
from serving.engine.kv import KvCache, Move
from serving.engine.model import Model
from serving.engine.sampling import Draw, Said
from serving.engine.semantic import Run


class Runner:
    """A model and its cache on one device, and who drafts for it; used by one thread."""

    def __init__(
        self,
        model: Model,
        kv: KvCache,
        drafter: Drafter | None = None,
        confidence: Confidence = exits.top_probability,
    ) -> None:
        self._model = model
        self._kv = kv
        self._drafter = drafter
        self._confidence = confidence

    def propose(self, asks: SequenceOf[Ask]) -> list[list[int]]:
        """Drafts for requests that decode, in order."""
        return self._drafter.propose(asks) if self._drafter is not None else [[] for _ in asks]

    def run(self, spans: SequenceOf[Span], draws: SequenceOf[Draw]) -> list[Said]:
        """Compute the spans (decodes first, equal lengths together) and draw for each that samples, in the same order.

        Raises ``RuntimeError`` (torch's) when the device fails.
        """
        logits, skipped = self._compute(spans)
        drafts = [span.tokens[len(span.tokens) - span.num_drafts :] for span in spans if span.samples]
        with torch.inference_mode():
            said = sampling.verify(logits, draws, drafts) if draws else []
        asked = [span for span in spans if span.samples]
        shares = [tuple(itertools.islice(skipped, len(span.tokens))) for span in asked]
        kept = [
            logits[row].clone() if span.keeps_logits else None for span, row in zip(asked, _last(asked), strict=True)
        ]
        return [Said(*one) for one in zip(said, shares, kept, strict=True)]

    def _compute(self, spans: SequenceOf[Span]) -> tuple[torch.Tensor, Iterator[float]]:
        """The logits, and the share of layers that each decoded position skipped; nothing when none could."""
        if all(span.exit_threshold is None for span in spans):
            return logits_of(self._model, self._kv, spans), iter(())
        departed = exiting(self._model, self._kv, spans, self._confidence)
        num_layers = self._kv.shape.num_layers
        return departed.logits, iter([(num_layers - depth) / num_layers for depth in departed.num_layers])

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

    def borrow(self, slot: int, runs: SequenceOf[Run]) -> None:
        """Copy cache blocks into a slot where its prompt has the same tokens, turned to their new positions."""
        with torch.inference_mode():
            for run in runs:
                turn = functools.partial(self._model.turned, source=run.source, position=run.position)
                self._kv.restore(slot, run.places, run.position, turn)

    def restore(self, slot: int, places: list[int]) -> None:
        """Copy cache blocks into a slot's first positions."""
        with torch.inference_mode():
            self._kv.restore(slot, places)


def _last(spans: SequenceOf[Span]) -> Iterator[int]:
    """The logit row of each span's last position."""
    return (row - 1 for row in itertools.accumulate(1 + span.num_drafts for span in spans))
