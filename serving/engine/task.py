"""A plan as work: which positions each request computes in one step, in the order that the device wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.engine.batch import Span
from serving.engine.memory import Memory
from serving.engine.plan import Plan
from serving.engine.sequence import Sequence as Request


@dataclass(frozen=True, slots=True)
class Task:
    """What one request computes in a step."""

    sequence: Request
    span: Span


def tasks(
    plan: Plan, running: Mapping[str, Request], memory: Memory, drafts: Mapping[str, Sequence[int]]
) -> list[Task]:
    """Decodes before chunks; decodes of equal length beside each other and in the order of their slots, as views."""
    decodes = [_decode(running[one], memory, drafts.get(one, ())) for one in plan.decode]
    decodes.sort(key=lambda task: (len(task.span.tokens), task.span.slot))
    return decodes + [_chunk(running[chunk.id], memory, chunk.num_tokens) for chunk in plan.prefill]


def _decode(sequence: Request, memory: Memory, drafts: Sequence[int]) -> Task:
    tokens = [*sequence.next_tokens(1), *drafts]
    start, slot = sequence.num_computed, memory.slot_of(sequence)
    threshold = sequence.request.exit_threshold
    span = Span(slot, start, tokens, decodes=True, samples=True, num_drafts=len(drafts), exit_threshold=threshold)
    return Task(sequence, span)


def _chunk(sequence: Request, memory: Memory, planned: int) -> Task:
    """No more than is left: a cached prefix may have been longer than the policy knew."""
    count = min(planned, sequence.num_prefill_left)
    ends = count == sequence.num_prefill_left
    tokens = sequence.next_tokens(count)
    return Task(sequence, Span(memory.slot_of(sequence), sequence.num_computed, tokens, decodes=False, samples=ends))
