"""No batching: one request at a time, first come, first served. The baseline that the others are measured by."""

from serving.engine.plan import Chunk, Plan, Running, Snapshot


class Policy:
    """Admits the oldest request when nobody runs."""

    def plan(self, snapshot: Snapshot) -> Plan:
        """Continue the one running request, else start the next."""
        if snapshot.running:
            return _continue(snapshot.running[0], snapshot.max_batched_tokens)
        for waiting in snapshot.waiting[:1]:
            if snapshot.free_slots and waiting.num_positions <= snapshot.free_positions:
                num_tokens = min(waiting.num_prefill_left, snapshot.max_batched_tokens)
                return Plan(admit=(waiting.id,), prefill=(Chunk(waiting.id, num_tokens),))
        return Plan()


def _continue(running: Running, budget: int) -> Plan:
    if running.num_prefill_left:
        return Plan(prefill=(Chunk(running.id, min(running.num_prefill_left, budget)),))
    return Plan(decode=(running.id,))
