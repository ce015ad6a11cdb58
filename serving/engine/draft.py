"""What speculative decoding asks of a drafter: a few tokens that the model would probably have said next.

Proposals change nothing but speed: the target computes them in its own step and keeps those that it draws itself
(``sampling.verify``), so a drafter may be wrong but never needs to say how sure it was.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serving.engine.kv import KvCache, Move
from serving.engine.model import Model

REGISTRY = "serving.engine.drafting"


@dataclass(frozen=True, slots=True)
class Ask:
    """A decoding request that wants proposals."""

    slot: int
    tokens: Sequence[int]
    """Prompt and output so far; the states of the last one are not computed yet. Not to be changed or kept."""
    limit: int
    """At most so many, 1 or more."""
    end_ids: frozenset[int] = frozenset()
    """Tokens that end the answer. Not worth proposing: the step that computes what is before one draws it itself."""

    def wants_after(self, draft: Sequence[int]) -> bool:
        """Whether more than this draft is of use."""
        return len(draft) < self.limit and draft[-1] not in self.end_ids

    def worth(self, draft: Sequence[int]) -> list[int]:
        """The draft up to where it ends the answer."""
        return list(itertools.takewhile(lambda token: token not in self.end_ids, draft))


@dataclass(frozen=True, slots=True)
class Target:
    """What a drafter is built from."""

    model: Model
    kv: KvCache
    layers: int
    """``draft_layers`` of the settings."""
    weights: Path | None
    """``draft_weights`` of the settings."""
    load: Callable[[Path], tuple[Model, KvCache]]
    """Another model with a cache for the same slots. Raises ``ModelNotSupported`` or ``SettingsError``."""


class Drafter(Protocol):
    """The role that every module of ``drafting/`` fills. Used by the engine thread alone."""

    def __init__(self, target: Target) -> None:
        """Raises ``SettingsError`` naming what it needs."""
        ...

    def propose(self, asks: Sequence[Ask]) -> list[list[int]]:
        """Up to ``limit`` tokens for each, in order; none is fine. ``RuntimeError`` when the device fails."""
        ...

    def move(self, move: Move) -> None:
        """Follow a request into another slot."""
        ...
