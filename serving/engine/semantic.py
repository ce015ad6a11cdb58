"""Semantic reuse: states of chunks that an earlier prompt had in another place, turned to their new positions.

A chunk is known by its tokens and its tenant's salt. Keys are turned by the distance (RoPE), values taken as they are;
the first tokens of each run are computed again, because what follows a seam leans on them most (EPIC, arXiv 2410.15332;
CacheBlend, arXiv 2405.16444, chooses them by deviation instead). The rest remembers another context: answers may
change. So some prompts are computed both ways, and when the likeliest next token differs too often nothing is reused
any more. That judges the first token of an answer, not what comes after it.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from serving.engine.prefix import BLOCK_SIZE, PrefixTree
from serving.engine.settings import SemanticReuse

CHECKED_AT_FIRST = 8
"""Prompts computed both ways before anything is reused."""
REMEMBERED = 64
"""Checks that the decision looks back on."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive cached blocks that a prompt contains from ``position`` on; they were computed from ``source`` on."""

    position: int
    source: int
    places: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first position after it."""
        return self.position + len(self.places) * BLOCK_SIZE


@dataclass(slots=True, eq=False)
class Borrowed:
    """What one prompt takes from others. ``kept``: intervals of positions whose states stay as they came."""

    start: int
    """The first position that no exact prefix holds."""
    runs: tuple[Run, ...]
    kept: tuple[tuple[int, int], ...]
    is_check: bool
    """Whether the whole prompt is computed afterwards, to be compared and to answer from."""
    trial: torch.Tensor | None = None
    """Of a check: the logits ``[vocabulary]`` after the prompt with borrowed states."""

    @property
    def num_reused(self) -> int:
        """Positions that are not computed."""
        return sum(end - start for start, end in self.kept)

    def ahead(self, position: int) -> int:
        """Positions from ``position`` on that are not computed."""
        return sum(max(0, end - max(start, position)) for start, end in self.kept)

    def skip(self, position: int) -> int:
        """The first position from ``position`` on that is to be computed."""
        return next((end for start, end in self.kept if start <= position < end), position)

    def segments(self, position: int, count: int) -> Iterator[tuple[int, int]]:
        """The next ``count`` positions to compute from ``position`` on, as intervals."""
        for start, end in (*self.kept, (math.inf, math.inf)):
            if end <= position:
                continue
            stop = int(min(start, position + count))
            if stop > position:
                yield position, stop
                count -= stop - position
            if not count:
                return
            position = int(end)


class Trust:
    """Whether reuse is near enough to full computation, from prompts that were computed both ways."""

    def __init__(self, bound: float, verify_every: int) -> None:
        self._bound = bound
        self._verify_every = verify_every
        self._asked = 0
        self._checks: deque[tuple[bool, float]] = deque(maxlen=REMEMBERED)

    @property
    def holds(self) -> bool:
        """Enough checks, of which no more than the bound named another token."""
        wrong = sum(differs for differs, _ in self._checks)
        return len(self._checks) >= CHECKED_AT_FIRST and wrong <= self._bound * len(self._checks)

    @property
    def divergence(self) -> float:
        """Mean Kullback-Leibler divergence of the remembered checks, in nats."""
        return sum(kl for _, kl in self._checks) / len(self._checks) if self._checks else 0.0

    def wants_check(self) -> bool:
        """Whether the next opportunity is a check: the first ones, and then every so many."""
        self._asked += 1
        return len(self._checks) < CHECKED_AT_FIRST or self._asked % self._verify_every == 0

    def learn(self, differs: bool, divergence: float) -> None:
        """A prompt was computed both ways."""
        self._checks.append((differs, divergence))


class Semantic:
    """Finds what a prompt can borrow, and decides whether it may."""

    def __init__(self, settings: SemanticReuse, prefixes: PrefixTree) -> None:
        assert settings.recompute is not None
        self.trust = Trust(settings.bound, settings.verify_every)
        self._recompute = settings.recompute
        self._shortest = settings.shortest
        self._prefixes = prefixes

    def borrow(self, salt: str, tokens: Sequence[int], start: int) -> Borrowed | None:
        """What ``tokens`` can take from ``start`` on; None when nothing is alike or nothing may be taken now."""
        runs = tuple(self._runs(salt, tokens, start))
        kept = tuple((run.position + self._num_again(run), run.end) for run in runs)
        if not any(first < end for first, end in kept):
            return None
        is_check = self.trust.wants_check()
        if not is_check and not self.trust.holds:
            return None
        return Borrowed(start, runs, tuple(one for one in kept if one[0] < one[1]), is_check)

    def judge(self, borrowed: torch.Tensor, full: torch.Tensor) -> bool:
        """A prompt was computed both ways: whether the likeliest next token differs, of logits ``[vocabulary]``."""
        differs, divergence = compared(full, borrowed)
        self.trust.learn(differs, divergence)
        return differs

    def _num_again(self, run: Run) -> int:
        return math.ceil(self._recompute * (run.end - run.position))

    def _runs(self, salt: str, tokens: Sequence[int], start: int) -> Iterator[Run]:
        position = start
        while position + max(BLOCK_SIZE, self._shortest) <= len(tokens):
            blocks = self._prefixes.alike(salt, tokens, position)
            if len(blocks) * BLOCK_SIZE >= self._shortest:
                run = Run(position, blocks[0].start, tuple(self._prefixes.read(blocks)))
                yield run
                position = run.end
            else:
                position += 1


def compared(full: torch.Tensor, borrowed: torch.Tensor) -> tuple[bool, float]:
    """Whether another token is likeliest, and KL(full ‖ borrowed) in nats, of logits ``[vocabulary]``."""
    whole, near = (torch.log_softmax(logits.double(), dim=-1) for logits in (full, borrowed))
    divergence = float((whole.exp() * (whole - near)).sum().clamp_min(0))
    return bool(full.argmax() != borrowed.argmax()), divergence
