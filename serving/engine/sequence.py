"""One request on its way through the engine: WAITING → PREFILL → DECODE → DONE.

Owned by the engine thread from submission until DONE; afterwards nobody writes it and everybody may read it.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

import torch

from serving.engine.plan import Running, Waiting
from serving.engine.request import FinishReason, Request
from serving.engine.sampling import Draw, Said, Sampled
from serving.engine.semantic import Borrowed
from serving.engine.text import TextStream

Outcome = Literal["answered", "refused", "failed", "cancelled"]


class State(enum.Enum):
    """Where a request is."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step adds to an answer. The last one has an ``outcome``."""

    text: str
    tokens: tuple[Sampled, ...] = ()
    outcome: Outcome | None = None


@dataclass(slots=True, eq=False)
class Sequence:
    """A request and what became of it. Times are monotonic seconds of the engine's clock."""

    request: Request
    text: TextStream
    arrived_s: float
    state: State = State.WAITING
    num_computed: int = 0
    """Positions whose keys and values are in the cache."""
    num_cached: int = 0
    """Prompt positions taken from a cache instead of computed."""
    num_reused: int = 0
    """Those among them that come from another place of another prompt."""
    borrowed: Borrowed | None = None
    """Where they come from, while the prompt is computed; of a check until it is compared."""
    looked_up: int = -1
    """Version of the prefix cache that ``waiting.num_cached_tokens`` is of."""
    num_expected_tokens: float = 0.0
    """Output tokens that are forecast to come."""
    draft_proposed: int = 0
    draft_accepted: int = 0
    """Output tokens that a step gave beyond its first."""
    exit_tokens: int = 0
    """Output tokens said by an exit head."""
    exit_skipped: float = 0.0
    """Decoded positions' worth of layers that were skipped: 0.5 is half of the layers of one position."""
    first_inexact: int | None = None
    """First position whose states are not what all layers would have made of the tokens before it."""
    output: list[Sampled] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    scheduled_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    finish_reason: FinishReason | None = None
    outcome: Outcome | None = None
    error: str | None = None
    """``error.type`` of an outcome that is not ``answered``."""
    num_steps: int = 0
    sum_batch_sizes: int = 0
    num_to_prefill: int = field(init=False)
    """Positions to compute before it decodes: the prompt, and what it had said when it was put back."""
    waiting: Waiting = field(init=False)
    draw: Draw = field(init=False)
    _tokens: list[int] = field(init=False)

    def __post_init__(self) -> None:
        request = self.request
        self.waiting = Waiting(
            request.id, request.num_prompt_tokens, request.max_tokens, self.arrived_s, request.priority
        )
        self.draw = Draw(request.sampling, Random(request.sampling.seed))
        self._tokens = list(request.prompt)
        self.num_to_prefill = request.num_prompt_tokens

    @property
    def id(self) -> str:
        """The request's id, unique within the engine."""
        return self.request.id

    @property
    def answer(self) -> str:
        """All text so far."""
        return "".join(self.pieces)

    def running(self) -> Running:
        """How policies see it while it holds a slot."""
        request, num_said = self.request, self.num_to_prefill - self.request.num_prompt_tokens
        num_done = self.num_computed + self._num_ahead
        return Running(
            request.id, self.num_to_prefill, num_done, len(self.output) - num_said,
            request.max_tokens - num_said, self.arrived_s, request.priority, self.num_expected_tokens,
        )  # fmt: skip

    @property
    def tokens(self) -> list[int]:
        """Prompt and output so far; to be read only."""
        return self._tokens

    @property
    def num_output_left(self) -> int:
        """Output tokens that it may still say."""
        return self.request.max_tokens - len(self.output)

    @property
    def num_output_doubled(self) -> bool:
        """Whether it has said 1, 2, 4, 8 … tokens: often enough to look at its forecast again."""
        said = len(self.output)
        return said & (said - 1) == 0

    @property
    def num_prefill_left(self) -> int:
        """Prompt positions that are not computed yet."""
        return max(0, self.num_to_prefill - self.num_computed - self._num_ahead)

    @property
    def num_held(self) -> int:
        """Positions up to the last one that has states, holes included."""
        return max(self.num_computed, self._borrows.kept[-1][1] if self._borrows is not None else 0)

    @property
    def is_checked(self) -> bool:
        """Whether its prompt is computed with and without borrowed states."""
        return self.borrowed is not None and self.borrowed.is_check

    @property
    def is_on_trial(self) -> bool:
        """Whether it is the first of both times: what it says then is only to be compared."""
        return self.is_checked and self._borrows is not None

    @property
    def _borrows(self) -> Borrowed | None:
        """The borrowed states that are in use."""
        return self.borrowed if self.borrowed is not None and self.borrowed.trial is None else None

    @property
    def _num_ahead(self) -> int:
        return 0 if self._borrows is None else self._borrows.ahead(self.num_computed)

    @property
    def reusable_tokens(self) -> list[int]:
        """What may be taken from a cache: all but the last position, whose logits are wanted."""
        return self._tokens[:-1]

    @property
    def exact_tokens(self) -> list[int]:
        """The tokens whose states are in the KV cache and of use to others: from the first inexact one on, none is."""
        end = self.num_computed if self.first_inexact is None else min(self.first_inexact, self.num_computed)
        return self._tokens[:end]

    def hint_cached(self, num_cached: int, version: int) -> None:
        """Let policies know how much of the prompt is cached."""
        self.looked_up = version
        if num_cached != self.waiting.num_cached_tokens:
            self.waiting = replace(self.waiting, num_cached_tokens=num_cached)

    def admit(self, now_s: float, num_cached: int, borrowed: Borrowed | None = None) -> None:
        """WAITING → PREFILL, with the first ``num_cached`` positions already there, and those that are borrowed."""
        assert self.state is State.WAITING
        self.state, self.num_computed, self.borrowed = State.PREFILL, num_cached, borrowed
        if borrowed is not None:
            self.num_computed, self.first_inexact = borrowed.skip(num_cached), borrowed.kept[0][0]
            self.num_reused = 0 if borrowed.is_check else borrowed.num_reused
        if self.scheduled_s is None:
            self.scheduled_s, self.num_cached = now_s, num_cached + self.num_reused

    def begin_again(self, trial: torch.Tensor) -> None:
        """A check has said its ``trial`` logits: compute the prompt again, with nothing borrowed."""
        assert self.borrowed is not None
        self.borrowed.trial = trial
        self.num_computed, self.first_inexact = self.borrowed.start, None

    def take_trial(self) -> torch.Tensor:
        """The logits of the trial, which is over."""
        assert self.borrowed is not None
        assert self.borrowed.trial is not None
        trial, self.borrowed = self.borrowed.trial, None
        return trial

    def put_back(self) -> None:
        """→ WAITING, to be computed again from its prompt and what it has said."""
        self.state, self.num_computed, self.looked_up = State.WAITING, 0, -1
        self.first_inexact = self.borrowed = None
        self.num_to_prefill = len(self._tokens)
        self.waiting = replace(
            self.waiting, num_prompt_tokens=len(self._tokens), max_tokens=self.num_output_left, num_cached_tokens=0
        )

    def expect(self, num_tokens: float) -> None:
        """Let policies know how much it will probably still say."""
        self.num_expected_tokens = num_tokens
        if self.state is State.WAITING and num_tokens != self.waiting.num_expected_tokens:
            self.waiting = replace(self.waiting, num_expected_tokens=num_tokens)

    def segments(self, count: int) -> Iterable[tuple[int, int]]:
        """The next ``count`` positions to compute, as intervals around what is borrowed."""
        if self._borrows is not None:
            return self._borrows.segments(self.num_computed, count)
        return ((self.num_computed, self.num_computed + count),)

    def advance(self, end: int, batch_size: int) -> None:
        """Account a step among ``batch_size`` requests that computed it up to position ``end``."""
        self.num_computed = end if self._borrows is None else self._borrows.skip(end)
        self.num_steps += 1
        self.sum_batch_sizes += batch_size

    def commit(self, said: Said, num_drafts: int, now_s: float, end_ids: frozenset[int]) -> Delta:
        """Take in what a step said; PREFILL → DECODE with the first token, → DONE with the last.

        Tokens after the end are dropped, and positions of drafts that were not kept are forgotten.
        """
        pieces, taken = [], list[Sampled]()
        for token in said.tokens:
            pieces.append(self._append(token, now_s, end_ids))
            taken.append(token)
            if self.finish_reason is not None:
                break
        self.draft_proposed += num_drafts
        self.draft_accepted += len(taken) - 1
        self._note_exits(said.skipped, len(taken), self.num_computed - num_drafts - 1)
        self.num_computed -= num_drafts + 1 - len(taken)
        if self.finish_reason is not None:
            self.finish("answered")
        return Delta("".join(pieces), tuple(taken), self.outcome)

    def _note_exits(self, skipped: tuple[float, ...], num_taken: int, start: int) -> None:
        """Of positions from ``start`` on; those of drafts that were not kept are computed again."""
        early = [offset for offset, share in enumerate(skipped[:num_taken]) if share]
        self.exit_tokens += len(early)
        self.exit_skipped += sum(skipped)
        if early and self.first_inexact is None:
            self.first_inexact = start + early[0]

    def _append(self, token: Sampled, now_s: float, end_ids: frozenset[int]) -> str:
        self.state = State.DECODE
        self.output.append(token)
        self._tokens.append(token.id)
        self.last_token_s = now_s
        if self.first_token_s is None:
            self.first_token_s = now_s
        return self._show(token.id, ends=token.id in end_ids and not self.request.ignore_eos)

    def finish(self, outcome: Outcome, error: str | None = None) -> None:
        """→ DONE."""
        self.state, self.outcome, self.error = State.DONE, outcome, error

    def _show(self, token: int, *, ends: bool) -> str:
        """The text that the token adds; sets ``finish_reason`` when it is the last one."""
        piece = "" if ends else self.text.push(token)
        if ends or self.text.stopped:
            self.finish_reason = "stop"
        elif len(self.output) == self.request.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            piece += self.text.flush()
        self.pieces.append(piece)
        return piece
