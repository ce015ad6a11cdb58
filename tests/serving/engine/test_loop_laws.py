"""Any schedule of submissions, cancels and failing steps ends with every request settled and every slot free."""

import logging
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conventions import plugins
from serving.engine.batch import Span
from serving.engine.draft import Ask
from serving.engine.draft_length import DraftLength
from serving.engine.kv import Move, Slots
from serving.engine.loop import Delivery, Engine
from serving.engine.prefix import BLOCK_SIZE, PrefixTree
from serving.engine.request import Request, Sampling
from serving.engine.sampling import Draw, Said, Sampled
from serving.engine.semantic import Run
from serving.engine.sequence import Sequence, State
from serving.engine.text import TextStream

END_ID = 3
FOLDER = "serving.engine.batching"


@dataclass
class Script:
    """A device that answers every sampling span with the next scripted token and fails when told to."""

    tokens: list[int]
    failing_steps: frozenset[int] = frozenset()
    calls: int = 0
    borrowed: int = 0
    computed: list[tuple[bool, int]] = field(default_factory=list)

    def run(self, spans: list[Span], draws: list[Draw]) -> list[Said]:
        self.calls += 1
        if self.calls in self.failing_steps:
            raise RuntimeError("the device failed, as the script says")
        assert len(draws) == sum(span.samples for span in spans)
        assert sum(len(span.tokens) for span in spans) <= 8
        assert [span.decodes for span in spans] == sorted((span.decodes for span in spans), reverse=True)
        self.computed += [(span.decodes, position) for span in spans for position in range(span.start, span.end)]
        sampling = [span for span in spans if span.samples]
        assert all(span.samples for span in spans if span.keeps_logits)
        return [self._said(span, row) for row, span in enumerate(sampling)]

    def _said(self, span: Span, row: int) -> Said:
        """Scripted tokens, one more for each draft that the script agrees with."""
        drafts, said = list(span.tokens[len(span.tokens) - span.num_drafts :]), list[Sampled]()
        for offset, draft in enumerate([*drafts, None]):
            said.append(Sampled(self.tokens[(self.calls + row + offset) % len(self.tokens)]))
            if said[-1].id != draft:
                break
        logits = torch.tensor([float(token == said[-1].id) for token in range(10)]) if span.keeps_logits else None
        return Said(said, logits=logits)

    def propose(self, asks: SequenceOf[Ask]) -> list[list[int]]:
        """Drafts of any length up to the limit, right as often as the script repeats itself."""
        assert all(ask.limit > 0 for ask in asks)
        return [self.tokens[: (self.calls + ask.slot) % (ask.limit + 1)] for ask in asks]

    def move(self, move: Move, num_positions: int) -> None:
        assert move.target < move.source
        assert num_positions >= 0

    def save(self, slot: int, start: int, places: list[int]) -> None:
        assert 0 <= slot < 3
        assert start % BLOCK_SIZE == 0
        assert len(set(places)) == len(places)

    def restore(self, slot: int, places: list[int]) -> None:
        assert 0 <= slot < 3
        assert places

    def borrow(self, slot: int, runs: SequenceOf[Run]) -> None:
        assert 0 <= slot < 3
        assert all(0 <= place < 3 for run in runs for place in run.places)
        self.borrowed += sum(len(run.places) for run in runs)


def engine(policy: str, script: Script, delivered: Delivery, drafts: int = 0) -> tuple[Engine, Slots]:
    """Room for 60 positions, of which prefixes may take 48 while nobody needs them."""
    slots = Slots(num_slots=3, num_positions=60)
    built = Engine(
        plugins.load(FOLDER, policy, "Policy")(), script, slots,
        max_batched_tokens=8, end_ids=frozenset([END_ID]), deliver=delivered.extend, clock=lambda: 1.0,
        prefixes=PrefixTree(3, plugins.load("serving.engine.eviction", "lru", "Policy")()),
        draft_length=DraftLength(drafts, adapts=False) if drafts else None,
    )  # fmt: skip
    return built, slots


def sequence(number: int, num_prompt: int, max_tokens: int, priority: int = 0) -> Sequence:
    request = Request(
        f"r{number}", tuple(range(num_prompt)), max_tokens, Sampling(temperature=0.0), stream=True, priority=priority
    )
    return Sequence(request, TextStream(lambda ids: "x" * len(ids), ()), arrived_s=0.0)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Failing steps are scripted here; their tracebacks are no news."""
    caplog.set_level(logging.CRITICAL, "serving.engine.loop")


actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["submit", "submit as batch"]), st.integers(1, 40), st.integers(1, 10)),
        st.tuples(st.just("cancel"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("step"), st.integers(1, 4), st.just(0)),
    ),
    max_size=40,
)


# 200 schedules for each of the five policies: cancels, pre-emptions, failing steps, drafts, 60 positions in all.
@pytest.mark.parametrize("policy", plugins.names(FOLDER))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(
    actions,
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
    st.frozensets(st.integers(1, 40), max_size=3),
    st.integers(0, 4),
)
def test_every_schedule_settles_everyone_and_frees_everything(
    policy: str, schedule: list[tuple[str, int, int]], tokens: list[int], failing: frozenset[int], drafts: int
) -> None:
    delivered: Delivery = []
    script = Script(tokens, failing)
    built, slots = engine(policy, script, delivered, drafts)
    sequences = play(built, slots, schedule)
    assert all(one.state is State.DONE for one in sequences)
    assert (slots.free_slots, slots.free_positions + slots.cached_positions) == (3, 60)
    last = [one for one, delta in delivered if delta.outcome is not None]
    assert sorted(one.id for one in last) == sorted(one.id for one in sequences), "one last delta each"
    check_counters(built, sequences, script)


def play(built: Engine, slots: Slots, schedule: list[tuple[str, int, int]]) -> list[Sequence]:
    sequences: list[Sequence] = []
    for action, first, second in [*schedule, ("step", 2000, 0)]:
        if action.startswith("submit"):
            sequences.append(sequence(len(sequences), first, second, int(action == "submit as batch")))
            built.submit(sequences[-1])
        elif action == "cancel":
            built.cancel(f"r{first}")
        for _ in range(first if action == "step" else 0):
            built.take_messages()
            has_work = built.step().has_work
            slots.check()
            if not has_work:
                break
    return sequences


def check_counters(built: Engine, sequences: list[Sequence], script: Script) -> None:
    counters = built.counters
    prefill = [position for decodes, position in script.computed if not decodes]
    decode = [position for decodes, position in script.computed if decodes]
    assert (counters.prefill_tokens, counters.prefill_context) == (len(prefill), sum(prefill))
    assert (counters.decode_tokens, counters.decode_context) == (len(decode), sum(decode))
    assert counters.generated_tokens == sum(len(one.output) for one in sequences)
    decoded = sum(max(0, len(one.output) - 1) - one.draft_accepted + one.draft_proposed for one in sequences)
    from_prefill = decoded - counters.decode_tokens
    assert 0 <= from_prefill <= counters.preemptions, "who returns gets the next token from prefill, as at first"
    assert counters.draft_proposed == sum(one.draft_proposed for one in sequences)
    assert counters.draft_accepted == sum(one.draft_accepted for one in sequences)
    assert all(len(one.output) <= one.request.max_tokens for one in sequences)
    assert counters.running_steps == sum(one.num_steps for one in sequences)
    outcomes = [one.outcome for one in sequences]
    assert (counters.answered, counters.aborted) == (
        outcomes.count("answered"), outcomes.count("cancelled") + outcomes.count("failed"),
    )  # fmt: skip


def test_a_cancelled_request_is_gone_before_the_next_step() -> None:
    delivered: Delivery = []
    built, slots = engine("continuous", Script([5]), delivered)
    victim = sequence(0, 4, 10)
    built.submit(victim)
    built.take_messages()
    built.step()
    assert slots.free_slots == 2
    built.cancel("r0")
    built.take_messages()
    assert slots.free_slots == 3
    assert (victim.outcome, victim.error) == ("cancelled", "cancelled")
    assert not built.step().has_work


def test_stopping_the_thread_settles_whoever_is_left() -> None:
    delivered: Delivery = []
    built, slots = engine("continuous", Script([5]), delivered)
    built.start()
    left = sequence(0, 4, 50)
    built.submit(left)
    built.stop()
    assert left.state is State.DONE
    assert slots.free_slots == 3
    assert not built.alive


def test_an_end_token_ends_the_answer_unless_it_is_ignored() -> None:
    built, _ = engine("continuous", Script([7, END_ID]), [])
    first = sequence(0, 2, 9)
    built.submit(first)
    built.take_messages()
    while built.step().has_work:
        pass
    assert first.finish_reason == "stop"
    assert first.output[-1].id == END_ID
