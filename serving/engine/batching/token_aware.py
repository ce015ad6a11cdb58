"""Shortest work first by a live forecast, in steps that keep the pace of the decodes.

Work is what a request still has to compute: the rest of its prompt and the output that is forecast for it. Prompts
share what an ITL target leaves of a step (``Snapshot.paced_tokens``, an AIMD controller's). Age takes from a request's
rank until it comes first, so nothing starves; then those behind it wait until it fits. Requests of a better
``priority`` come first and, when there is no room, put younger work of a worse one back into the queue.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from serving.engine.batching._packing import chunks
from serving.engine.plan import Plan, Running, Snapshot, Waiting


@dataclass(frozen=True, slots=True)
class Policy:
    """``patience_s``: the age at which a request comes before all others of its priority, and is no longer put back.

    ``output_weight``: what one output token counts in prompt positions.
    """

    patience_s: float = 60.0
    output_weight: float = 1.0

    def plan(self, snapshot: Snapshot) -> Plan:
        """Put back for the first in line if that admits it; otherwise for nobody."""
        ranked = sorted(snapshot.waiting, key=lambda one: self._rank(one, snapshot.now_s))
        victims = self._victims(ranked[0], snapshot) if ranked else ()
        plan = self._with(victims, ranked, snapshot)
        if victims and ranked[0].id not in plan.admit:
            return self._with((), ranked, snapshot)
        return plan

    def _with(self, victims: tuple[Running, ...], ranked: list[Waiting], snapshot: Snapshot) -> Plan:
        """Decodes, then prompts by rank, once the victims are gone."""
        preempt = tuple(one.id for one in victims)
        running = [one for one in snapshot.running if one.id not in preempt]
        decode = tuple(one.id for one in running if not one.num_prefill_left)[: snapshot.max_batched_tokens]
        fits = list(self._fitting(ranked, victims, snapshot))
        prompts: list[Running | Waiting] = [*(one for one in running if one.num_prefill_left), *fits]
        prompts.sort(key=lambda one: self._rank(one, snapshot.now_s))
        prefill = tuple(chunks(prompts, self._prefill_budget(prompts, len(decode), snapshot)))
        started = {chunk.id for chunk in prefill}
        return Plan(tuple(one.id for one in fits if one.id in started), prefill, decode, preempt=preempt)

    def _prefill_budget(self, prompts: list[Running | Waiting], num_decodes: int, snapshot: Snapshot) -> int:
        """What the pace leaves; all of the step when nobody decodes, or once the first has waited out its patience."""
        aged = any(snapshot.now_s - one.arrived_s >= self.patience_s for one in prompts[:1])
        tokens = snapshot.paced_tokens if num_decodes and not aged else snapshot.max_batched_tokens
        return tokens - num_decodes

    def _fitting(self, ranked: list[Waiting], victims: tuple[Running, ...], snapshot: Snapshot) -> Iterator[Waiting]:
        """Who fits, by rank; one that does not is passed over until it is old."""
        slots = snapshot.free_slots + len(victims)
        positions = snapshot.free_positions + sum(one.num_positions for one in victims)
        for one in ranked:
            if slots and one.num_positions <= positions:
                slots, positions = slots - 1, positions - one.num_positions
                yield one
            elif snapshot.running and snapshot.now_s - one.arrived_s >= self.patience_s:
                return

    def _victims(self, first: Waiting, snapshot: Snapshot) -> tuple[Running, ...]:
        """Whom to put back so that the first in line fits: worst priority and least done first; nobody if in vain."""
        found, slots, positions = list[Running](), snapshot.free_slots, snapshot.free_positions
        young = (one for one in snapshot.running if snapshot.now_s - one.arrived_s < self.patience_s)
        candidates = (one for one in young if one.priority > first.priority)
        for victim in sorted(candidates, key=lambda one: (-one.priority, one.num_computed_tokens)):
            if slots and first.num_positions <= positions:
                break
            found.append(victim)
            slots, positions = slots + 1, positions + victim.num_positions
        return tuple(found) if slots and first.num_positions <= positions else ()

    def _rank(self, one: Running | Waiting, now_s: float) -> tuple[int, float, float]:
        work = one.num_prefill_left + self.output_weight * one.num_expected_tokens
        youth = max(0.0, 1.0 - (now_s - one.arrived_s) / self.patience_s)
        return one.priority, work * youth, one.arrived_s
