"""The engine loop: ``plan → run → commit``, in one thread that owns the model.

Everybody else talks to it through ``submit`` and ``cancel`` and hears from it through ``deliver``. A cancelled request
is gone before the next step is planned.
"""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from serving.engine.accounting import count_admission, count_step
from serving.engine.batch import Span
from serving.engine.counters import Counters
from serving.engine.draft_length import DraftLength
from serving.engine.forecast import Forecast
from serving.engine.kv import Slots
from serving.engine.memory import HoldsStates, Memory
from serving.engine.pace import Pace
from serving.engine.plan import Plan, Policy, Snapshot
from serving.engine.prefix import PrefixTree
from serving.engine.sampling import Draw, Said
from serving.engine.semantic import Semantic
from serving.engine.sequence import Delta, Outcome, Sequence, State
from serving.engine.speculation import Proposes, Speculation
from serving.engine.task import Task, tasks

logger = logging.getLogger(__name__)

Delivery = list[tuple[Sequence, Delta]]
Deliver = Callable[[Delivery], None]


class Runs(HoldsStates, Proposes, Protocol):
    """What the loop asks of the device side (``runner.Runner``)."""

    def run(self, spans: list[Span], draws: list[Draw]) -> list[Said]:
        """What each sampling span says, in order.

        ``RuntimeError`` when the device fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Cancel:
    id: str
    outcome: Outcome
    error: str


class _Stop:
    pass


class Engine:
    """Requests in, deltas out. ``step`` is the whole engine; ``run`` repeats it in a thread."""

    def __init__(
        self,
        policy: Policy,
        runner: Runs,
        slots: Slots,
        *,
        max_batched_tokens: int,
        end_ids: frozenset[int],
        deliver: Deliver,
        prefixes: PrefixTree | None = None,
        semantic: Semantic | None = None,
        draft_length: DraftLength | None = None,
        itl_target_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._policy = policy
        self._runner = runner
        self._memory = Memory(slots, runner, prefixes, semantic)
        self._semantic = semantic
        self._speculation = None if draft_length is None else Speculation(runner, draft_length, end_ids)
        self._counts_prefixes = prefixes is not None
        self._max_batched_tokens = max_batched_tokens
        self._pace = Pace(max_batched_tokens, itl_target_s)
        self._forecast = Forecast()
        self._end_ids = end_ids
        self._deliver = deliver
        self._clock = clock
        self._inbox: queue.SimpleQueue[Sequence | _Cancel | _Stop] = queue.SimpleQueue()
        self._waiting: dict[str, Sequence] = {}
        self._running: dict[str, Sequence] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self.run, name="engine", daemon=True)

    # --- any thread -----------------------------------------------------------------------------------------

    def submit(self, sequence: Sequence) -> None:
        """Queue a request; its deltas go to ``deliver`` until one has an outcome."""
        self._inbox.put(sequence)

    def cancel(self, request_id: str) -> None:
        """Drop a request before the next step; one that is unknown or done is left alone."""
        self._inbox.put(_Cancel(request_id, "cancelled", "cancelled"))

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Cancel all work and end the thread."""
        self._inbox.put(_Stop())
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread is there to serve."""
        return self._thread.is_alive()

    # --- the engine thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Step until stopped. Whatever ends the loop, nobody is left waiting for an answer."""
        wait_s: float | None = None
        try:
            while not self._stopping:
                self.take_messages(wait_s)
                plan = self.step()
                wait_s = 0.0 if plan.has_work else plan.wake_after_s
        finally:
            for sequence in [*self._running.values(), *self._waiting.values()]:
                self._end(sequence, _Cancel(sequence.id, "cancelled", "shutdown"))

    def step(self) -> Plan:
        """Plan, run, commit once. The plan without work means that nothing can be done now."""
        plan = self._policy.plan(self._snapshot())
        if plan.has_work:
            self._run(plan)
        elif not self._running:
            self._memory.check()
        self._update_levels()
        return plan

    def take_messages(self, wait_s: float | None = 0.0) -> None:
        """Take in what was submitted and cancelled; wait for a first message up to ``wait_s``, None for ever."""
        try:
            self._take(self._inbox.get(block=wait_s != 0.0, timeout=wait_s))
            while True:
                self._take(self._inbox.get_nowait())
        except queue.Empty:
            return

    def _take(self, message: "Sequence | _Cancel | _Stop") -> None:
        if isinstance(message, Sequence):
            self._waiting[message.id] = message
            self._forecast_of(message)
        elif isinstance(message, _Stop):
            self._stopping = True
        elif sequence := self._running.get(message.id) or self._waiting.get(message.id):
            self._end(sequence, message)

    def _forecast_of(self, sequence: Sequence) -> None:
        request = sequence.request
        left = self._forecast.left(request.num_prompt_tokens, request.max_tokens, len(sequence.output))
        sequence.expect(left)

    def _snapshot(self) -> Snapshot:
        memory = self._memory
        for sequence in itertools.islice(self._waiting.values(), memory.free_slots):
            memory.look_up(sequence)
        return Snapshot(
            now_s=self._clock(),
            waiting=tuple(sequence.waiting for sequence in self._waiting.values()),
            running=tuple(sequence.running() for sequence in self._running.values()),
            free_slots=memory.free_slots,
            free_positions=memory.free_positions,
            max_batched_tokens=self._max_batched_tokens,
            pace_tokens=self._pace.tokens,
        )

    def _run(self, plan: Plan) -> None:
        self._put_back(plan.preempt)
        self._admit(plan.admit)
        began_s = self._clock()
        try:
            work = tasks(plan, self._running, self._memory, self._drafts(plan))
            samplers = [task for task in work if task.samples]
            spans = [span for task in work for span in task.spans]
            said = self._runner.run(spans, [task.draw for task in samplers])
        except RuntimeError:
            self._fail(plan)
            return
        count_step(self.counters, work, said)
        num_tokens = self._commit(self._answering(samplers, said))
        seconds = self._clock() - began_s
        if plan.decode:
            self._pace.observe(sum(task.num_tokens for task in work), seconds)
        if self._speculation is not None and plan.decode and not plan.prefill:
            self._speculation.observe(len(work), num_tokens, seconds)

    def _drafts(self, plan: Plan) -> dict[str, list[int]]:
        if self._speculation is None:
            return {}
        spare_tokens = self._max_batched_tokens - plan.num_tokens
        return self._speculation.drafts([self._running[one] for one in plan.decode], self._memory, spare_tokens)

    def _fail(self, plan: Plan) -> None:
        """The device failed: who was in the step is answered with an error, everybody else goes on."""
        concerned = [*plan.decode, *(chunk.id for chunk in plan.prefill)]
        logger.exception("a step of %d requests failed; they are answered with an error", len(concerned))
        for request_id in concerned:
            self._end(self._running[request_id], _Cancel(request_id, "failed", "engine_error"))

    def _put_back(self, ids: tuple[str, ...]) -> None:
        """To the front of the queue, with what is computed kept for its return as far as there is room."""
        for request_id in ids:
            sequence = self._running.pop(request_id)
            self._memory.keep(sequence)
            self._memory.release(sequence)
            sequence.put_back()
            self._forecast_of(sequence)
            self._waiting = {request_id: sequence, **self._waiting}
        self.counters.preemptions += len(ids)

    def _admit(self, ids: tuple[str, ...]) -> None:
        now_s = self._clock()
        for request_id in ids:
            sequence = self._waiting.pop(request_id)
            returns = sequence.scheduled_s is not None
            sequence.admit(now_s, *self._memory.admit(sequence))
            if not returns and self._counts_prefixes:
                count_admission(self.counters, sequence)
            self._running[request_id] = sequence

    def _answering(self, samplers: list[Task], said: list[Said]) -> Iterator[tuple[Task, Said]]:
        """Without those whose prompt was only on trial; whoever has computed it both ways is compared."""
        for task, one in zip(samplers, said, strict=True):
            if task.sequence.is_checked and self._semantic is not None and one.logits is not None:
                if task.sequence.is_on_trial:
                    task.sequence.begin_again(one.logits)
                    continue
                self.counters.count_check(self._semantic.judge(task.sequence.take_trial(), one.logits))
            yield task, one

    def _commit(self, said: Iterable[tuple[Task, Said]]) -> int:
        """Take in what the step said; the number of output tokens."""
        now_s, num_tokens = self._clock(), 0
        delivery: Delivery = []
        for task, one in said:
            sequence, num_drafts = task.sequence, task.num_drafts
            is_first, exits_before = not sequence.output, sequence.exit_tokens
            delta = sequence.commit(one, num_drafts, now_s, self._end_ids)
            self.counters.early_exit_tokens += sequence.exit_tokens - exits_before
            num_tokens += len(delta.tokens)
            if sequence.num_output_doubled:
                self._forecast_of(sequence)
            self.counters.count_said(len(delta.tokens), num_drafts)
            if is_first:
                self.counters.ttft_s.observe(now_s - sequence.arrived_s)
                self._memory.keep(sequence)
            if sequence.state is State.DONE:
                self._leave(sequence)
            if delta.outcome or sequence.request.stream:
                delivery.append((sequence, delta))
        self._deliver(delivery)
        return num_tokens

    def _end(self, sequence: Sequence, why: _Cancel) -> None:
        """Finish a request from outside the normal course."""
        sequence.finish(why.outcome, why.error)
        self._leave(sequence)
        self._deliver([(sequence, Delta("", outcome=why.outcome))])

    def _leave(self, sequence: Sequence) -> None:
        """Forget a request that is done, and free what it held."""
        if self._waiting.pop(sequence.id, None) is None:
            del self._running[sequence.id]
            if sequence.outcome != "failed":
                self._memory.keep(sequence)
            self._memory.release(sequence)
        if sequence.outcome == "answered":
            self.counters.answered += 1
            request = sequence.request
            self._forecast.learn(request.num_prompt_tokens, request.max_tokens, len(sequence.output))
            self.counters.e2e_s.observe(self._clock() - sequence.arrived_s)
        else:
            self.counters.aborted += 1

    def _update_levels(self) -> None:
        counters = self.counters
        counters.running, counters.waiting = len(self._running), len(self._waiting)
        counters.kv_usage = self._memory.usage
        if self._speculation is not None:
            counters.draft_length, counters.draft_gain = self._speculation.length, self._speculation.gain
        if self._semantic is not None:
            counters.semantic_trusted = int(self._semantic.trust.holds)
            counters.semantic_divergence = self._semantic.trust.divergence
