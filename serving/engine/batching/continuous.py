"""Iteration-level batching: requests join and leave between steps (Orca, OSDI'22), decode never waits for prefill.

Decodes come first, then unfinished prompts, then new ones in order of arrival, each cut to what is left of the
step's token budget (chunked prefill without stalls: Sarathi-Serve, arXiv 2403.02310).
"""

from serving.engine.batching._packing import chunks, decodable, from_the_front, unfinished
from serving.engine.plan import Plan, Snapshot


class Policy:
    """First come, first served: a request that does not fit holds back those behind it, so nobody starves."""

    def plan(self, snapshot: Snapshot) -> Plan:
        """Everyone who can compute does."""
        decode = decodable(snapshot)
        budget = snapshot.max_batched_tokens - len(decode)
        continued = tuple(chunks(unfinished(snapshot), budget))
        budget -= sum(chunk.num_tokens for chunk in continued)
        started = tuple(chunks(from_the_front(snapshot), budget))
        return Plan(admit=tuple(chunk.id for chunk in started), prefill=continued + started, decode=decode)
