"""Static batching: whoever waits when nobody runs is one batch, and nobody joins until all of it is done.

What ``generate`` on a list of prompts does; a baseline. Short answers wait for long ones before their slots are used.
"""

from serving.engine.batching._packing import chunks, decodable, from_the_front, unfinished
from serving.engine.plan import Plan, Snapshot


class Policy:
    """Admits only into an empty engine."""

    def plan(self, snapshot: Snapshot) -> Plan:
        """The whole batch at once; its prompts are computed over as many steps as the budget needs."""
        if not snapshot.running:
            return start(snapshot)
        prefill = tuple(chunks(unfinished(snapshot), snapshot.max_batched_tokens))
        return Plan(prefill=prefill) if prefill else Plan(decode=decodable(snapshot))


def start(snapshot: Snapshot) -> Plan:
    """Admit everyone who fits, also those whose prompt has to wait for the next step."""
    batch = tuple(from_the_front(snapshot))
    return Plan(admit=tuple(one.id for one in batch), prefill=tuple(chunks(batch, snapshot.max_batched_tokens)))
