"""Drafts by the model's own first layers (Draft & Verify, arXiv 2309.08168; LayerSkip, arXiv 2404.16710).

No second model and no second cache: what the first layers store at a drafted position is what the whole model would
store there. A model that was not trained to be left early agrees with itself less often than with a good draft model.
"""

from collections.abc import Sequence

from conventions.errors import SettingsError
from serving.engine.batch import Span
from serving.engine.draft import Ask, Target
from serving.engine.forward import logits_of
from serving.engine.kv import Move


class Drafter:
    """The first ``draft_layers`` layers, the norm of the exit there (the final one without an exit), and the head."""

    def __init__(self, target: Target) -> None:
        num_layers = target.model.kv_shape.num_layers
        if not 0 < target.layers < num_layers:
            raise SettingsError(
                f"drafting 'self_speculative' needs draft_layers from 1 to {num_layers - 1}, got {target.layers}"
            )
        self._target = target

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Greedy tokens of the early exit."""
        target, drafts = self._target, [list[int]() for _ in asks]
        pending = sorted(range(len(asks)), key=lambda index: asks[index].slot)
        while pending:
            spans = [_span(asks[index], drafts[index]) for index in pending]
            best = logits_of(target.model, target.kv, spans, target.layers).argmax(dim=-1).tolist()
            for index, token in zip(pending, best, strict=True):
                drafts[index].append(token)
            pending = [index for index in pending if asks[index].wants_after(drafts[index])]
        return drafts

    def move(self, move: Move) -> None:
        """The target's cache moves by itself."""


def _span(ask: Ask, draft: list[int]) -> Span:
    last = draft[-1] if draft else ask.tokens[-1]
    return Span(ask.slot, len(ask.tokens) - 1 + len(draft), [last], decodes=True, samples=True)
