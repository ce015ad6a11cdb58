"""What a batching policy sees and answers: plain frozen values, no torch, no clock.

A policy is ``plan(snapshot) -> Plan``. The laws every plan obeys (tests run them over each file of ``batching/``):

* pre-empted requests are running and named nowhere else;
* admitted requests are waiting, fit the free slots and the free KV positions, those of pre-empted requests included;
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
    num_expected_tokens: float = 0.0
    """Output tokens that are forecast for it."""

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
    """A request that holds a slot. What it had said when it was put back counts as prompt, not as output."""

    id: str
    num_prompt_tokens: int
    num_computed_tokens: int
    num_output_tokens: int
    max_tokens: int
    arrived_s: float
    priority: int = 0
    num_expected_tokens: float = 0.0
    """Output tokens that are forecast to come."""

    @property
    def num_prefill_left(self) -> int:
        """Prompt positions that are not computed yet; 0 once it decodes."""
        return max(0, self.num_prompt_tokens - self.num_computed_tokens)

    @property
    def num_positions(self) -> int:
        """KV positions that are free once it is put back."""
        return self.num_prompt_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The engine between two steps. ``waiting`` is in order of arrival, ``running`` in order of admission."""

    now_s: float
    waiting: tuple[Waiting, ...]
    running: tuple[Running, ...]
    free_slots: int
    free_positions: int
    max_batched_tokens: int
    pace_tokens: int | None = None
    """Positions that keep the ITL target when somebody decodes; None when there is no target."""

    @property
    def paced_tokens(self) -> int:
        """The smaller of both budgets."""
        return self.max_batched_tokens if self.pace_tokens is None else min(self.pace_tokens, self.max_batched_tokens)


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
    preempt: tuple[str, ...] = ()
    """Running requests to put back into the queue first; what they computed is lost unless it is cached."""
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
