"""The KV cache: one slot per admitted request, and the book that says who holds which.

``Slots`` is the book (plain integers); ``KvCache`` the memory. Slots stay dense: when one in the middle is freed the
last one moves into it, so that a decode batch reads ``cache[:n]`` as a view. Gathering the same rows instead cost
2.7 times the attention itself (32 requests × 400 positions, one core).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

CACHE_LINE_BYTES = 64
Turn = Callable[[torch.Tensor], torch.Tensor]
"""Keys ``[layer, head, position, dim]`` of some positions as they would be at others."""


@dataclass(frozen=True, slots=True)
class Move:
    """The request in slot ``source`` now lives in ``target``; its states must follow."""

    source: int
    target: int


class Slots:
    """Who holds which slot and how many positions are reserved.

    Law, at any time: free + used = all slots; free + used + cached = all positions.
    """

    def __init__(self, num_slots: int, num_positions: int) -> None:
        self.num_slots = num_slots
        self.num_positions = num_positions
        self._holders: list[str] = []
        self._slot_of: dict[str, int] = {}
        self._reserved: dict[str, int] = {}
        self._used_positions = 0
        self.cached_positions = 0
        """Positions that hold prefixes for later requests."""

    @property
    def free_slots(self) -> int:
        """Slots nobody holds."""
        return self.num_slots - len(self._holders)

    @property
    def free_positions(self) -> int:
        """Positions nobody reserved and no prefix is cached in."""
        return self.num_positions - self._used_positions - self.cached_positions

    @property
    def usage(self) -> float:
        """Reserved share of all positions, 0 to 1."""
        return self._used_positions / self.num_positions

    def can_allocate(self, positions: int) -> bool:
        """Whether ``allocate`` would succeed now."""
        return self.free_slots > 0 and positions <= self.free_positions

    def allocate(self, request_id: str, positions: int) -> int:
        """A slot for the request, with ``positions`` reserved; ``can_allocate`` must hold."""
        assert request_id not in self._slot_of, f"{request_id} already holds a slot"
        assert self.can_allocate(positions), "admitted beyond the KV cache"
        slot = len(self._holders)
        self._holders.append(request_id)
        self._slot_of[request_id] = slot
        self._reserved[request_id] = positions
        self._used_positions += positions
        return slot

    def slot_of(self, request_id: str) -> int:
        """The slot that the request holds now; a release of another may change it."""
        return self._slot_of[request_id]

    def holder(self, slot: int) -> str:
        """The request in a slot that is used."""
        return self._holders[slot]

    def cache(self, positions: int) -> None:
        """Take this many free positions for cached prefixes; fewer than 0 gives them back."""
        assert -self.cached_positions <= positions <= self.free_positions, "cached beyond the KV cache"
        self.cached_positions += positions

    def release(self, request_id: str) -> Move | None:
        """Free the request's slot; the move, if any, that keeps the others dense."""
        slot = self._slot_of.pop(request_id)
        self._used_positions -= self._reserved.pop(request_id)
        last = self._holders.pop()
        if last == request_id:
            return None
        self._holders[slot] = last
        self._slot_of[last] = slot
        return Move(len(self._holders), slot)

    def check(self) -> None:
        """Assert conservation: every slot and position is held once or free."""
        assert {name: slot for slot, name in enumerate(self._holders)} == self._slot_of
        assert self._slot_of.keys() == self._reserved.keys()
        assert sum(self._reserved.values()) == self._used_positions
        assert self.free_positions >= 0
        assert self.free_positions + self._used_positions + self.cached_positions == self.num_positions
        assert len(self._holders) + self.free_slots == self.num_slots


@dataclass(frozen=True, slots=True)
class KvShape:
    """What a model stores per position: 2 × num_layers × num_heads × head_dim values."""

    num_layers: int
    num_heads: int
    head_dim: int


class KvCache:
    """Keys and values, each ``[layer, slot, head, position, dim]``, and blocks of cached prefixes beside them.

    Zeroed, because masked positions enter attention with weight 0 and 0 × NaN would poison it.
    """

    def __init__(
        self,
        shape: KvShape,
        num_slots: int,
        num_positions: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        num_blocks: int = 0,
        block_size: int = 1,
    ) -> None:
        dimensions = (shape.num_layers, num_slots, shape.num_heads, num_positions, shape.head_dim)
        self.shape = shape
        self.num_positions = num_positions
        self.keys = _zeros(dimensions, dtype, device)
        self.values = _zeros(dimensions, dtype, device)
        blocks = (2, shape.num_layers, num_blocks, shape.num_heads, block_size, shape.head_dim)
        self._blocks = _zeros(blocks, dtype, device)
        self._heads = torch.arange(shape.num_heads, device=device)

    def rows(self, slots: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Flat row numbers ``[n × head]`` of the given (slot, position) pairs, the same for every layer."""
        planes = slots[:, None] * self.shape.num_heads + self._heads
        return (planes * self.num_positions + positions[:, None]).view(-1)

    def write(self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store ``[n, head, dim]`` keys and values of one layer at ``rows``."""
        head_dim = self.shape.head_dim
        self.keys[layer].view(-1, head_dim).index_copy_(0, rows, keys.reshape(-1, head_dim))
        self.values[layer].view(-1, head_dim).index_copy_(0, rows, values.reshape(-1, head_dim))

    def write_from(self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store ``[n, layer, head, dim]`` keys and values of the layers from ``layer`` on at ``rows``."""
        count, head_dim = keys.shape[1], self.shape.head_dim
        for states, found in ((self.keys, keys), (self.values, values)):
            by_layer = found.transpose(0, 1).reshape(count, -1, head_dim)
            states[layer:].view(count, -1, head_dim).index_copy_(1, rows, by_layer)

    def move(self, move: Move, num_positions: int) -> None:
        """Copy the first ``num_positions`` states of one slot to another."""
        for states in (self.keys, self.values):
            states[:, move.target, :, :num_positions] = states[:, move.source, :, :num_positions]

    def save(self, slot: int, start: int, places: list[int]) -> None:
        """Copy the slot's positions from ``start`` on into blocks, as many as there are ``places``."""
        block_size = self._blocks.shape[4]
        where = torch.tensor(places, device=self._blocks.device)
        for blocks, states in zip(self._blocks, (self.keys, self.values), strict=True):
            part = states[:, slot, :, start : start + len(places) * block_size]
            cut = part.reshape(*part.shape[:2], len(places), block_size, part.shape[3])
            blocks.index_copy_(1, where, cut.transpose(1, 2))

    def restore(self, slot: int, places: Sequence[int], start: int = 0, turn: Turn | None = None) -> None:
        """Copy blocks, in order, into the slot's positions from ``start`` on, their keys through ``turn``."""
        where = torch.tensor(places, device=self._blocks.device)
        for blocks, states in zip(self._blocks, (self.keys, self.values), strict=True):
            part = blocks.index_select(1, where).transpose(1, 2).flatten(2, 3)
            turned = turn(part) if turn is not None and states is self.keys else part
            states[:, slot, :, start : start + part.shape[2]] = turned


def _zeros(dimensions: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros that, on CPU, take no memory until they are written.

    numpy asks the system for zeroed pages, torch.zeros writes each of them: 384 MB resident at start for a model of
    five million parameters with 32 slots of 2,048 positions, of which short answers touch a tenth.
    """
    if device.type != "cpu":
        return torch.zeros(dimensions, dtype=dtype, device=device)
    num_bytes = math.prod(dimensions) * dtype.itemsize
    memory = np.zeros(num_bytes + CACHE_LINE_BYTES, dtype=np.uint8)
    first = -memory.ctypes.data % CACHE_LINE_BYTES
    return torch.from_numpy(memory[first : first + num_bytes]).view(dtype).view(dimensions)
