"""The KV memory of the running requests: slots, cached prefixes and the device's states, kept in step.

Positions are one budget: free + used + cached = all. Cached prefixes live in what running requests leave, and give
way to them.
"""

from collections.abc import Sequence as SequenceOf
from typing import Protocol

from serving.engine.kv import Move, Slots
from serving.engine.prefix import BLOCK_SIZE, PrefixTree
from serving.engine.semantic import Borrowed, Run, Semantic
from serving.engine.sequence import Sequence

EVICTED_AT_ONCE = 16
"""A look for what to evict visits every block, so it drops at least this share (1/16) of them."""


class HoldsStates(Protocol):
    """What the memory asks of the device side (``runner.Runner``)."""

    def move(self, move: Move, num_positions: int) -> None:
        """Copy a slot's first positions to another slot."""
        ...

    def save(self, slot: int, start: int, places: list[int]) -> None:
        """Copy a slot's positions from ``start`` on into cache blocks."""
        ...

    def restore(self, slot: int, places: list[int]) -> None:
        """Copy cache blocks into a slot's first positions."""
        ...

    def borrow(self, slot: int, runs: SequenceOf[Run]) -> None:
        """Copy cache blocks into a slot where its prompt has the same tokens, turned to their new positions."""
        ...


class Memory:
    """Who holds which positions. ``prefixes`` is None when nothing is to be reused."""

    def __init__(
        self, slots: Slots, device: HoldsStates, prefixes: PrefixTree | None, semantic: Semantic | None = None
    ) -> None:
        self._slots = slots
        self._device = device
        self._prefixes = prefixes
        self._semantic = semantic
        self._held: dict[str, Sequence] = {}

    @property
    def free_slots(self) -> int:
        """Requests that could be admitted, as far as slots go."""
        return self._slots.free_slots

    @property
    def free_positions(self) -> int:
        """Positions that could be reserved: cached prefixes give way."""
        return self._slots.free_positions + self._slots.cached_positions

    @property
    def usage(self) -> float:
        """Reserved share of all positions, 0 to 1."""
        return self._slots.usage

    def slot_of(self, sequence: Sequence) -> int:
        """The slot that the request holds now."""
        return self._slots.slot_of(sequence.id)

    def look_up(self, sequence: Sequence) -> None:
        """Tell a waiting request how much of its prompt is cached, if that can have changed."""
        if self._prefixes is not None and sequence.looked_up != self._prefixes.version:
            found = self._prefixes.lookup(sequence.request.salt, sequence.reusable_tokens)
            sequence.hint_cached(found, self._prefixes.version)

    def admit(self, sequence: Sequence) -> tuple[int, Borrowed | None]:
        """Give the request a slot and what is cached of its prompt; how many first positions, and what it borrows."""
        positions = sequence.request.num_reserved_positions
        self._make_room(positions - self._slots.free_positions)
        slot = self._slots.allocate(sequence.id, positions)
        self._held[sequence.id] = sequence
        places = (
            self._prefixes.take(sequence.request.salt, sequence.reusable_tokens) if self._prefixes is not None else []
        )
        if places:
            self._device.restore(slot, places)
        start = len(places) * BLOCK_SIZE
        return start, self._borrow(sequence, slot, start)

    def _borrow(self, sequence: Sequence, slot: int, start: int) -> Borrowed | None:
        """A request that returns computes what it misses: its own words are in its prompt then."""
        if self._semantic is None or not sequence.request.semantic_reuse or sequence.scheduled_s is not None:
            return None
        borrowed = self._semantic.borrow(sequence.request.salt, sequence.reusable_tokens, start)
        if borrowed is not None:
            self._device.borrow(slot, borrowed.runs)
        return borrowed

    def keep(self, sequence: Sequence) -> None:
        """Cache the full blocks of what the request has computed exactly."""
        if self._prefixes is None:
            return
        before, room = self._prefixes.num_cached, self._slots.free_positions // BLOCK_SIZE
        start, places = self._prefixes.insert(sequence.request.salt, sequence.exact_tokens, room)
        if places:
            self._device.save(self.slot_of(sequence), start, places)
        self._slots.cache((self._prefixes.num_cached - before) * BLOCK_SIZE)

    def release(self, sequence: Sequence) -> None:
        """Free what the request holds."""
        del self._held[sequence.id]
        if move := self._slots.release(sequence.id):
            moved = self._held[self._slots.holder(move.target)]
            self._device.move(move, moved.num_held)

    def check(self) -> None:
        """Assert conservation of slots, positions and blocks."""
        self._slots.check()
        if self._prefixes is not None:
            self._prefixes.check()
            assert self._prefixes.num_cached * BLOCK_SIZE == self._slots.cached_positions

    def _make_room(self, positions: int) -> None:
        if positions > 0 and self._prefixes is not None:
            blocks = max(-(-positions // BLOCK_SIZE), self._prefixes.num_cached // EVICTED_AT_ONCE)
            self._slots.cache(-self._prefixes.evict(blocks) * BLOCK_SIZE)
