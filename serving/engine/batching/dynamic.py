"""Dynamic batching by size or time-out, as model servers do it: a batch starts when it is full or its first has waited.

Between batches it is ``static``: nobody joins one that runs.
"""

from dataclasses import dataclass

from serving.engine.batching import static
from serving.engine.plan import Plan, Snapshot


@dataclass(frozen=True, slots=True)
class Policy:
    """``size``: requests that start a batch at once. ``timeout_s``: how long the first of fewer waits for company."""

    size: int = 8
    timeout_s: float = 0.05

    def plan(self, snapshot: Snapshot) -> Plan:
        """Start, wait or go on."""
        if not snapshot.running and 0 < len(snapshot.waiting) < min(self.size, snapshot.free_slots):
            left_s = self.timeout_s - (snapshot.now_s - snapshot.waiting[0].arrived_s)
            if left_s > 0:
                return Plan(wake_after_s=left_s)
        return static.Policy().plan(snapshot)
