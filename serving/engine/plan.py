"""What a batching policy sees and answers: plain frozen values, no torch, no clock.

A policy is ``plan(snapshot) -> Plan``. The laws every plan obeys (tests run them over each file of ``batching/``):

* admitted requests are waiting, fit the free slots and the free KV positions;
* prefill names admitted or unfinished prompts, with 1 to all of their remaining positions (the loop computes fewer
  when more of the prompt turns out to be cached);
* decode names requests whose prompt is computed; nobody is named twice;
* computed positions stay within ``max_batched_tokens``;
* when something could run, the plan has work or says when to ask again.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued request. ``now_s - arrived_s`` is its age."""

    id: str
    num_prompt_tokens: int
    max_tokens: int
    arrived_s: float
    priority: int = 0
    num_cached_tokens: int = 0
    """Prompt positions that a cached prefix held when it was last looked for."""

    @property
    def num_prefill_left(self) -> int:
        """Prompt positions to compute once it is admitted."""
        return self.num_prompt_tokens - self.num_cached_tokens

    @property
    def num_positions(self) -> int:
        """KV positions it reserves when admitted."""
        return self.num_prompt_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class Running:
    """A request that holds a slot."""

    id: str
    num_prompt_tokens: int
    num_computed_tokens: int
    num_output_tokens: int
    max_tokens: int
    arrived_s: float
    priority: int = 0

    @property
    def num_prefill_left(self) -> int:
        """Prompt positions that are not computed yet; 0 once it decodes."""
        return max(0, self.num_prompt_tokens - self.num_computed_tokens)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The engine between two steps. ``waiting`` is in order of arrival, ``running`` in order of admission."""

    now_s: float
    waiting: tuple[Waiting, ...]
    running: tuple[Running, ...]
    free_slots: int
    free_positions: int
    max_batched_tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next ``num_tokens`` positions of one prompt."""

    id: str
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: whom to admit, which prompt positions to compute, who decodes one token."""

    admit: tuple[str, ...] = ()
    prefill: tuple[Chunk, ...] = ()
    decode: tuple[str, ...] = ()
    wake_after_s: float | None = None
    """For a plan without work: ask again after this time even if nothing arrives."""

    @property
    def has_work(self) -> bool:
        """Whether a forward pass would compute anything."""
        return bool(self.prefill or self.decode)

    @property
    def num_tokens(self) -> int:
        """Positions that it computes."""
        return len(self.decode) + sum(chunk.num_tokens for chunk in self.prefill)


class Policy(Protocol):
    """The role that every module of ``batching/`` fills."""

    def plan(self, snapshot: Snapshot) -> Plan:
        """The next step. Pure: the same snapshot gives the same plan."""
        ...
