"""What the policies share: cutting prompts into a step's budget, and who fits what is free."""

from collections.abc import Iterable, Iterator

from serving.engine.plan import Chunk, Running, Snapshot, Waiting


def decodable(snapshot: Snapshot) -> tuple[str, ...]:
    """Everyone whose prompt is computed, as far as the budget goes."""
    return tuple(one.id for one in snapshot.running if not one.num_prefill_left)[: snapshot.max_batched_tokens]


def chunks(prompts: Iterable[Running | Waiting], budget: int) -> Iterator[Chunk]:
    """As much of each prompt, in this order, as the budget still holds."""
    for prompt in prompts:
        if budget <= 0:
            return
        chunk = Chunk(prompt.id, min(prompt.num_prefill_left, budget))
        budget -= chunk.num_tokens
        yield chunk


def unfinished(snapshot: Snapshot) -> Iterator[Running]:
    """Requests whose prompt is partly computed, in order of admission."""
    return (one for one in snapshot.running if one.num_prefill_left)


def from_the_front(snapshot: Snapshot) -> Iterator[Waiting]:
    """The waiting requests, oldest first, until one does not fit: it holds back those behind it, so nobody starves."""
    positions = snapshot.free_positions
    for waiting in snapshot.waiting[: snapshot.free_slots]:
        positions -= waiting.num_positions
        if positions < 0:
            return
        yield waiting
