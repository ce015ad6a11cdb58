"""A plan as work: which positions each request computes in one step, in the order that the device wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from serving.engine.batch import Span
from serving.engine.memory import Memory
from serving.engine.plan import Plan
from serving.engine.request import Sampling
from serving.engine.sampling import Draw
from serving.engine.sequence import Sequence as Request


@dataclass(frozen=True, slots=True)
class Task:
    """What one request computes in a step: consecutive positions, or several pieces around what it borrowed."""

    sequence: Request
    spans: tuple[Span, ...]

    @property
    def samples(self) -> bool:
        """Whether it says something."""
        return self.spans[-1].samples

    @property
    def num_tokens(self) -> int:
        """Positions that it computes."""
        return sum(len(span.tokens) for span in self.spans)

    @property
    def num_drafts(self) -> int:
        """Positions that are only proposed."""
        return self.spans[-1].num_drafts

    @property
    def draw(self) -> Draw:
        """How it draws; what a trial says is thrown away and takes no random number of the request's."""
        return Draw(Sampling(temperature=0.0), Random(0)) if self.sequence.is_on_trial else self.sequence.draw


def tasks(
    plan: Plan, running: Mapping[str, Request], memory: Memory, drafts: Mapping[str, Sequence[int]]
) -> list[Task]:
    """Decodes before chunks; decodes of equal length beside each other and in the order of their slots, as views."""
    decodes = [_decode(running[one], memory, drafts.get(one, ())) for one in plan.decode]
    decodes.sort(key=lambda task: (task.num_tokens, task.spans[0].slot))
    return decodes + [_chunk(running[chunk.id], memory, chunk.num_tokens) for chunk in plan.prefill]


def _decode(sequence: Request, memory: Memory, drafts: Sequence[int]) -> Task:
    start, slot = sequence.num_computed, memory.slot_of(sequence)
    tokens = [*sequence.tokens[start : start + 1], *drafts]
    threshold = sequence.request.exit_threshold
    span = Span(slot, start, tokens, decodes=True, samples=True, num_drafts=len(drafts), exit_threshold=threshold)
    return Task(sequence, (span,))


def _chunk(sequence: Request, memory: Memory, planned: int) -> Task:
    """No more than is left: a cached prefix may have been longer than the policy knew."""
    count = min(planned, sequence.num_prefill_left)
    ends = count == sequence.num_prefill_left
    pieces = list(sequence.segments(count))
    return Task(sequence, tuple(_piece(sequence, memory, one, ends=ends and one == pieces[-1]) for one in pieces))


def _piece(sequence: Request, memory: Memory, piece: tuple[int, int], *, ends: bool) -> Span:
    start, stop = piece
    tokens, keeps = sequence.tokens[start:stop], ends and sequence.is_checked
    return Span(memory.slot_of(sequence), start, tokens, decodes=False, samples=ends, keeps_logits=keeps)
