"""Iteration-level batching: requests join and leave between steps (Orca, OSDI'22), decode never waits for prefill.

Decodes come first, then unfinished prompts, then new ones in order of arrival, each cut to what is left of the
step's token budget (chunked prefill without stalls: Sarathi-Serve, arXiv 2403.02310).
"""

from collections.abc import Iterator

from serving.engine.plan import Chunk, Plan, Snapshot


class Policy:
    """First come, first served: a request that does not fit holds back those behind it, so nobody starves."""

    def plan(self, snapshot: Snapshot) -> Plan:
        """Everyone who can compute does."""
        decode = tuple(one.id for one in snapshot.running if not one.num_prefill_left)
        decode = decode[: snapshot.max_batched_tokens]
        budget = snapshot.max_batched_tokens - len(decode)
        unfinished = ((one.id, one.num_prefill_left) for one in snapshot.running if one.num_prefill_left)
        continued = tuple(_chunks(unfinished, budget))
        budget -= sum(chunk.num_tokens for chunk in continued)
        started = tuple(_chunks(_admissible(snapshot), budget))
        return Plan(admit=tuple(chunk.id for chunk in started), prefill=continued + started, decode=decode)


def _chunks(prompts: Iterator[tuple[str, int]], budget: int) -> Iterator[Chunk]:
    """As much of each prompt as the budget still holds."""
    while budget > 0 and (prompt := next(prompts, None)):
        chunk = Chunk(prompt[0], min(prompt[1], budget))
        budget -= chunk.num_tokens
        yield chunk


def _admissible(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """The waiting requests from the front that slots and KV positions suffice for."""
    positions = snapshot.free_positions
    for waiting in snapshot.waiting[: snapshot.free_slots]:
        positions -= waiting.num_positions
        if positions < 0:
            return
        yield waiting.id, waiting.num_prefill_left
