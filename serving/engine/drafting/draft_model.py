"""Drafts by a smaller model with the same vocabulary (Leviathan et al., arXiv 2211.17192), greedily, token by token.

It has a cache of its own for the same slots. What is in a slot is known by its tokens: the states of the longest common
beginning are still right, whoever left them there, and the rest is computed before drafting.
"""

from collections.abc import Sequence

from conventions.errors import SettingsError
from serving.engine.batch import Span
from serving.engine.draft import Ask, Target
from serving.engine.forward import logits_of
from serving.engine.kv import Move

PADDED_UP_TO = 16
"""Catching up on more positions than this is a prefill; fewer are padded into one batch with the others."""


class Drafter:
    """A draft model and what its cache holds."""

    def __init__(self, target: Target) -> None:
        if target.weights is None:
            raise SettingsError("drafting 'draft_model' needs draft_weights: the folder of a smaller model")
        self._model, self._kv = target.load(target.weights)
        self._fed: dict[int, list[int]] = {}

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Each request's likeliest continuation; the first pass also catches up on what was decided since."""
        drafts: list[list[int]] = [[] for _ in asks]
        pending = list(range(len(asks)))
        spans = {index: self._behind(asks[index]) for index in pending}
        while pending:
            pending.sort(key=lambda index: (not spans[index].decodes, len(spans[index].tokens), spans[index].slot))
            best = logits_of(self._model, self._kv, [spans[index] for index in pending]).argmax(dim=-1).tolist()
            for index, token in zip(pending, best, strict=True):
                drafts[index].append(token)
                self._fed[spans[index].slot] += spans[index].tokens
                spans[index] = _next(spans[index], token)
            pending = [index for index in pending if asks[index].wants_after(drafts[index])]
        return drafts

    def move(self, move: Move) -> None:
        """Copy the states and what is known of them."""
        fed = self._fed.get(move.source, [])
        self._fed[move.target] = list(fed)
        self._kv.move(move, len(fed))

    def _behind(self, ask: Ask) -> Span:
        """The positions from the first whose states are missing or of other tokens."""
        fed = self._fed.setdefault(ask.slot, [])
        start = min(_common(fed, ask.tokens), len(ask.tokens) - 1)
        del fed[start:]
        tokens = list(ask.tokens[start:])
        return Span(ask.slot, start, tokens, decodes=len(tokens) <= PADDED_UP_TO, samples=True)


def _next(span: Span, token: int) -> Span:
    return Span(span.slot, span.end, [token], decodes=True, samples=True)


def _common(fed: list[int], tokens: Sequence[int]) -> int:
    """Length of the common beginning, by bisection: slices are compared at C speed."""
    low, high = 0, min(len(fed), len(tokens))
    if fed[:high] == tokens[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if fed[low:middle] == tokens[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
