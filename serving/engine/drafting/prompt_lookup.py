"""Drafts by looking back: what followed the last few tokens when they occurred before (Saxena 2023, n-gram lookup).

Needs no model. It pays where answers repeat their prompt: sorting, summaries, edits, code.
"""

from array import array
from collections.abc import Sequence

from serving.engine.draft import Ask, Target
from serving.engine.kv import Move

LONGEST_NGRAM, SHORTEST_NGRAM = 4, 2
"""One token alone recurs by chance too often to be worth a position."""
LOOKED_BACK = 4096
"""Tokens searched, so that a long context costs no more than this."""


class Drafter:
    """The most recent earlier occurrence of the longest n-gram wins."""

    def __init__(self, target: Target) -> None:
        """Nothing of the target is needed."""

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """What followed last time."""
        return [_continuation(ask.tokens[-LOOKED_BACK:], ask.limit) for ask in asks]

    def move(self, move: Move) -> None:
        """Nothing is kept by slot."""


def _continuation(tokens: Sequence[int], limit: int) -> list[int]:
    packed = array("i", tokens).tobytes()
    for size in range(LONGEST_NGRAM, SHORTEST_NGRAM - 1, -1):
        after = _last_occurrence(packed, size)
        if after is not None:
            return list(tokens[after : after + limit])
    return []


def _last_occurrence(packed: bytes, size: int) -> int | None:
    """The index after the latest earlier occurrence of the last ``size`` tokens (bytes are searched at C speed)."""
    width = array("i").itemsize
    ngram = packed[-size * width :]
    if len(ngram) < size * width:
        return None
    end = len(packed) - 1
    while (found := packed.rfind(ngram, 0, end)) >= 0:
        if found % width == 0:
            return found // width + size
        end = found + len(ngram) - 1
    return None
