"""Speculation within the loop: whom to draft for, how far, and whether it paid."""

from collections.abc import Sequence as SequenceOf
from typing import Protocol

from serving.engine.draft import Ask
from serving.engine.draft_length import DraftLength
from serving.engine.memory import Memory
from serving.engine.sequence import Sequence


class Proposes(Protocol):
    """What it asks of the device side (``runner.Runner``)."""

    def propose(self, asks: SequenceOf[Ask]) -> list[list[int]]:
        """Drafts, in order."""
        ...


class Speculation:
    """Drafts for the decoding requests of a step."""

    def __init__(self, device: Proposes, length: DraftLength, end_ids: frozenset[int]) -> None:
        self._device = device
        self._end_ids = end_ids
        self._length = length
        self._chosen = 0

    def drafts(self, decoding: list[Sequence], memory: Memory, spare_tokens: int) -> dict[str, list[int]]:
        """Drafts by request id, so many that the step computes at most ``spare_tokens`` positions more."""
        if not decoding:
            return {}
        self._chosen = self._length.choose(len(decoding))
        room = min(self._chosen, spare_tokens // len(decoding))
        asking = [one for one in decoding if min(room, one.num_output_left - 1) > 0]
        asks = [self._ask(one, memory.slot_of(one), room) for one in asking]
        proposed = self._device.propose(asks) if asks else []
        return {one.id: ask.worth(draft) for one, ask, draft in zip(asking, asks, proposed, strict=True)}

    def _ask(self, sequence: Sequence, slot: int, room: int) -> Ask:
        end_ids = frozenset[int]() if sequence.request.ignore_eos else self._end_ids
        return Ask(slot, sequence.tokens, min(room, sequence.num_output_left - 1), end_ids)

    def observe(self, num_decoding: int, num_tokens: int, seconds: float) -> None:
        """A step of decodes alone took so long, drafting included."""
        self._length.observe(num_decoding, self._chosen, num_tokens, seconds)

    @property
    def length(self) -> int:
        """The length chosen last."""
        return self._length.chosen

    @property
    def gain(self) -> float:
        """Estimated tokens per second over those without drafts."""
        return self._length.gain
