"""Which prompt prefixes are cached, in blocks of consecutive positions, and which of them go when room is needed.

The book only: plain integers and tokens. States are copied between a request's slot and the blocks, never shared, so
a block can be dropped at any time and nothing is counted by reference. Tokens are compared, not hashes of them, and
every chain begins with its owner's salt: one tenant's prompts never speed up, and so never betray, another's.
"""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

BLOCK_SIZE = 16
"""Positions per block, as in vLLM: fewer would copy in smaller pieces, more would cut more off the end of a match."""

MOST_ALIKE = 8
"""Blocks of the same tokens in different places that are looked at for the longest chain."""


class Use(NamedTuple):
    """How a block has been used so far."""

    last_used: int
    """Number of the look-up or insertion that last touched it."""
    num_reuses: int
    """Requests that took their states from it."""
    turnover: int
    """Blocks that the cache holds when full."""


class Eviction(Protocol):
    """The role that every module of ``eviction/`` fills."""

    def rank(self, use: Use) -> float:
        """Among the ends of chains the lowest goes first. Pure."""
        ...


@dataclass(slots=True, eq=False)
class Block:
    """One full block of some prefix, reached through the blocks before it."""

    place: int
    """Where its states lie, 0 to ``num_blocks - 1``."""
    parent: "Block | None"
    key: tuple[int | str, ...]
    last_used: int
    salt: str
    start: int
    """Position of its first token."""
    num_reuses: int = 0
    num_children: int = 0

    @property
    def content(self) -> tuple[str, tuple[int | str, ...]]:
        """Its owner and its tokens, wherever they stood."""
        return self.salt, self.key if self.start else self.key[1:]


_Key = tuple[Block | None, tuple[int | str, ...]]


class PrefixTree:
    """Cached prefixes as chains of blocks. Law: free places + cached blocks = all, at any time."""

    def __init__(self, num_blocks: int, eviction: Eviction) -> None:
        self.num_blocks = num_blocks
        self.version = 0
        """Changes whenever another look-up could give another answer."""
        self._eviction = eviction
        self._blocks: dict[_Key, Block] = {}
        self._alike: dict[tuple[str, tuple[int | str, ...]], list[Block]] = {}
        self._free = list(range(num_blocks - 1, -1, -1))
        self._clock = itertools.count(1)

    @property
    def num_cached(self) -> int:
        """Blocks that hold a prefix."""
        return len(self._blocks)

    def lookup(self, salt: str, tokens: Sequence[int]) -> int:
        """Positions of ``tokens`` that ``take`` would find; nothing is marked as used."""
        return sum(BLOCK_SIZE for _ in self._chain(salt, tokens))

    def take(self, salt: str, tokens: Sequence[int]) -> list[int]:
        """Places of the longest cached prefix, in order; its blocks count as reused."""
        return self.read(list(self._chain(salt, tokens)))

    def read(self, chain: list[Block]) -> list[int]:
        """Places of the blocks, which count as reused."""
        self._touch(chain)
        for block in chain:
            block.num_reuses += 1
        return [block.place for block in chain]

    def alike(self, salt: str, tokens: Sequence[int], position: int) -> list[Block]:
        """The longest chain of cached blocks, from any place, that holds ``tokens`` from ``position`` on.

        Of equally long ones the newest. Its states are of another context: what precedes it is not compared.
        """
        longest: list[Block] = []
        found = self._alike.get((salt, tuple(tokens[position : position + BLOCK_SIZE])), ())
        for block in reversed(found[-MOST_ALIKE:]):
            chain = list(self._follow(block, tokens, position + BLOCK_SIZE))
            longest = chain if len(chain) > len(longest) else longest
        return longest

    def _follow(self, block: Block | None, tokens: Sequence[int], position: int) -> Iterator[Block]:
        while block is not None:
            yield block
            block = self._blocks.get((block, tuple(tokens[position : position + BLOCK_SIZE])))
            position += BLOCK_SIZE

    def insert(self, salt: str, tokens: Sequence[int], room: int) -> tuple[int, list[int]]:
        """Cache the full blocks of ``tokens``; the cache may grow by ``room`` blocks, older ones give way to the rest.

        Gives the position where the new part begins and the places to fill, in order.
        """
        chain = list(self._chain(salt, tokens))
        self._touch(chain)
        keys = list(_keys(salt, tokens))[len(chain) :]
        room = min(room, len(self._free))
        room += self.evict(len(keys) - room, spare=chain)
        start, places = len(chain) * BLOCK_SIZE, list[int]()
        parent = chain[-1] if chain else None
        for key in keys[:room]:
            parent = self._add(salt, parent, key)
            places.append(parent.place)
        return start, places

    def evict(self, count: int, spare: Sequence[Block] = ()) -> int:
        """Drop up to ``count`` blocks, ends of chains first in the order of the policy; the number dropped."""
        if count <= 0:
            return 0
        spared = set(map(id, spare))
        ends = [self._ranked(block) for block in self._blocks.values() if not block.num_children]
        heapq.heapify(ends)
        dropped = 0
        while ends and dropped < count:
            block = heapq.heappop(ends)[-1]
            if id(block) in spared:
                continue
            self._drop(block)
            dropped += 1
            if block.parent is not None and not block.parent.num_children:
                heapq.heappush(ends, self._ranked(block.parent))
        return dropped

    def check(self) -> None:
        """Assert conservation: every place is free or holds one block, and every chain is whole."""
        places = sorted([*self._free, *(block.place for block in self._blocks.values())])
        assert places == list(range(self.num_blocks))
        children = [block.parent for block in self._blocks.values() if block.parent is not None]
        assert sum(block.num_children for block in self._blocks.values()) == len(children)
        assert all(self._blocks[(parent.parent, parent.key)] is parent for parent in children)
        alike = [block for blocks in self._alike.values() for block in blocks]
        assert sorted(block.place for block in alike) == sorted(block.place for block in self._blocks.values())

    def _chain(self, salt: str, tokens: Sequence[int]) -> Iterator[Block]:
        block: Block | None = None
        for key in _keys(salt, tokens):
            block = self._blocks.get((block, key))
            if block is None:
                return
            yield block

    def _touch(self, chain: list[Block]) -> None:
        if chain:
            now = next(self._clock)
            for block in chain:
                block.last_used = now

    def _add(self, salt: str, parent: Block | None, key: tuple[int | str, ...]) -> Block:
        start = 0 if parent is None else parent.start + BLOCK_SIZE
        block = Block(self._free.pop(), parent, key, next(self._clock), salt, start)
        self._blocks[(parent, key)] = block
        self._alike.setdefault(block.content, []).append(block)
        self.version += 1
        if parent is not None:
            parent.num_children += 1
        return block

    def _drop(self, block: Block) -> None:
        del self._blocks[(block.parent, block.key)]
        alike = self._alike[block.content]
        alike.remove(block)
        if not alike:
            del self._alike[block.content]
        self._free.append(block.place)
        self.version += 1
        if block.parent is not None:
            block.parent.num_children -= 1

    def _ranked(self, block: Block) -> tuple[float, int, Block]:
        """Places are unique, so two blocks are never compared themselves."""
        use = Use(block.last_used, block.num_reuses, self.num_blocks)
        return self._eviction.rank(use), block.place, block


def _keys(salt: str, tokens: Sequence[int]) -> Iterator[tuple[int | str, ...]]:
    """One key per full block; the first one begins with the salt."""
    for start in range(0, len(tokens) - BLOCK_SIZE + 1, BLOCK_SIZE):
        key: tuple[int | str, ...] = tuple(tokens[start : start + BLOCK_SIZE])
        yield (salt, *key) if start == 0 else key
