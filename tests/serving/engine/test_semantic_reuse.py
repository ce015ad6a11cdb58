"""States from another place are turned exactly, used only within a tenant and a bound, and nothing of them leaks."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions import plugins
from serving.engine import spans
from serving.engine.api.answers import usage
from serving.engine.kv import KvCache, Slots
from serving.engine.loop import Delivery, Engine
from serving.engine.prefix import BLOCK_SIZE, PrefixTree
from serving.engine.request import Request, Sampling
from serving.engine.semantic import CHECKED_AT_FIRST, Borrowed, Semantic, Trust, compared
from serving.engine.sequence import Sequence, State
from serving.engine.settings import EngineSettings, SemanticReuse
from serving.engine.text import TextStream
from tests.serving.engine import random_llama
from tests.serving.engine.stepped_engine import Stepped, tokens
from tests.serving.engine.test_loop_laws import END_ID, Script

LISTING = [1, *(Random(1).randrange(6, 200) for _ in range(79))]
"""What prompts share; the first one begins with it."""
QUESTION = [Random(2).randrange(6, 200) for _ in range(9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama.save(tmp_path_factory.mktemp("semantic"), num_hidden_layers=3)


def reusing(folder: Path, recompute: float = 0.2, *, trusted: bool = True, **options: Any) -> Stepped:
    """An engine that reuses, after its first checks when it is ``trusted``."""
    chosen = SemanticReuse(recompute=recompute, verify_every=1000, bound=1.0)
    stepped = Stepped(folder, **{"semantic_reuse": chosen, **options})
    for _ in range(CHECKED_AT_FIRST if trusted else 0):
        semantic(stepped).trust.learn(False, 0.0)
    return stepped


def semantic(stepped: Stepped) -> Semantic:
    found = stepped.engine._semantic
    assert found is not None
    return found


def prompt(number: int, before: int) -> list[int]:
    """The listing after ``before`` other tokens, then a question."""
    draw = Random(100 + number)
    return [1, *(draw.randrange(6, 200) for _ in range(before)), *LISTING[1:], *QUESTION]


def kv_of(stepped: Stepped) -> KvCache:
    found: KvCache = stepped.engine._runner._kv  # type: ignore[attr-defined]  # the device side of a real engine
    return found


def computed(stepped: Stepped, asked: list[int]) -> tuple[Sequence, torch.Tensor]:
    """The request after its first token, and its states ``[key or value, layer, head, position, dim]``."""
    sequence = stepped.submit(asked, 8)
    while not sequence.output:
        stepped.step()
    kv = kv_of(stepped)
    states = torch.stack([kv.keys[:, 0, :, : len(asked)], kv.values[:, 0, :, : len(asked)]]).clone()
    stepped.finish()
    return sequence, states


@pytest.mark.parametrize("before", [3, 16, 50, 700])
def test_turned_states_of_layer_0_equal_computed_ones(folder: Path, before: int) -> None:
    """They depend on token and position alone; deeper layers remember another context, so they differ."""
    stepped = reusing(folder)
    stepped.generate(LISTING, 2)
    sequence, ours = computed(stepped, prompt(0, before))
    _, full = computed(Stepped(folder, max_cached_tokens=0), prompt(0, before))
    assert sequence.num_reused >= 48
    torch.testing.assert_close(ours[:, 0], full[:, 0], atol=2e-5, rtol=1e-4)
    assert (ours[:, 1:] - full[:, 1:]).abs().max() > 1e-2


def test_states_moved_towards_the_beginning_are_turned_back(folder: Path) -> None:
    stepped = reusing(folder)
    stepped.generate(prompt(0, 300), 2)
    sequence, ours = computed(stepped, prompt(1, 5))
    _, full = computed(Stepped(folder, max_cached_tokens=0), prompt(1, 5))
    assert sequence.num_reused > 0
    torch.testing.assert_close(ours[:, 0], full[:, 0], atol=2e-5, rtol=1e-4)


def test_all_tokens_computed_again_is_full_computation(folder: Path) -> None:
    stepped, plain = reusing(folder, recompute=1.0), Stepped(folder)
    for one in (stepped, plain):
        one.generate(LISTING, 2)
    for number in range(3):
        assert stepped.generate(prompt(number, 20), 12) == plain.generate(prompt(number, 20), 12)
    counters = stepped.engine.counters
    assert (counters.semantic_reuse_tokens, counters.semantic_checks) == (0, 0)
    assert counters.prefill_tokens == plain.engine.counters.prefill_tokens


@pytest.mark.parametrize("budget", [16, 33, 512])
def test_how_prompts_are_cut_into_chunks_changes_nothing(folder: Path, budget: int) -> None:
    """Pieces around the borrowed states are computed in one step or in many, alone or in company."""
    answers = []
    for company in (0, 3):
        stepped = reusing(folder, max_num_batched_tokens=budget)
        stepped.generate(LISTING, 2)
        asked = stepped.submit(prompt(0, 40), 12, Sampling(temperature=0.0, num_logprobs=0))
        others = [stepped.submit(prompt(9, 10)[::-1], 30) for _ in range(company)]
        stepped.finish()
        assert asked.num_reused > 0
        answers.append([token.logprob for token in asked.output])
        assert all(one.state is State.DONE for one in others)
    reference = reusing(folder, max_num_batched_tokens=2048)
    reference.generate(LISTING, 2)
    asked = reference.submit(prompt(0, 40), 12, Sampling(temperature=0.0, num_logprobs=0))
    reference.finish()
    for one in answers:
        assert one == pytest.approx([token.logprob for token in asked.output], abs=1e-3)


def test_another_tenant_finds_nothing(folder: Path) -> None:
    stepped = reusing(folder)
    stepped.generate(LISTING, 2)
    stranger, owner = (stepped.submit(prompt(0, 20), 2, salt=salt) for salt in ("archive", ""))
    stepped.finish()
    assert stranger.num_reused == 0
    assert owner.num_reused > 0


def test_a_request_may_refuse(folder: Path) -> None:
    stepped = reusing(folder)
    stepped.generate(LISTING, 2)
    sequence = stepped.submit(prompt(0, 20), 2, semantic_reuse=False)
    stepped.finish()
    assert sequence.num_cached == 0


def test_what_was_borrowed_is_never_lent_again(folder: Path) -> None:
    """A prompt with borrowed states is a prefix for others only as far as everything in it was computed."""
    stepped = reusing(folder)
    stepped.generate(LISTING, 2)
    first = stepped.submit(prompt(0, 40), 20)
    stepped.finish()
    assert first.first_inexact is not None
    again = stepped.submit(prompt(0, 40), 2, semantic_reuse=False)
    stepped.finish()
    assert again.num_cached == first.first_inexact // BLOCK_SIZE * BLOCK_SIZE


def test_the_first_prompts_are_computed_both_ways_and_answered_in_full(folder: Path) -> None:
    stepped, plain = reusing(folder, trusted=False), Stepped(folder, max_cached_tokens=0)
    stepped.generate(LISTING, 2)
    for number in range(CHECKED_AT_FIRST + 2):
        sequence = stepped.submit(prompt(number, 20 + number), 6)
        stepped.finish()
        if number < CHECKED_AT_FIRST:
            assert sequence.num_reused == 0
            assert tokens(sequence) == plain.generate(prompt(number, 20 + number), 6)
        else:
            assert sequence.num_reused > 0
    counters = stepped.engine.counters
    assert counters.semantic_checks == CHECKED_AT_FIRST
    assert counters.semantic_trusted == 1
    assert counters.semantic_divergence > 0
    asked = sum(len(prompt(number, 20 + number)) for number in range(CHECKED_AT_FIRST + 2)) + len(LISTING)
    found = counters.prefix_cache_hits + counters.semantic_reuse_tokens
    assert asked + counters.semantic_check_tokens == counters.prefill_tokens + found


def test_above_the_bound_nothing_is_reused_until_checks_are_good_again(folder: Path) -> None:
    chosen = SemanticReuse(recompute=0.2, verify_every=1000, bound=0.1)
    stepped = reusing(folder, semantic_reuse=chosen)
    stepped.generate(LISTING, 2)
    reused = []
    for number, (differs, count) in enumerate([(False, 0), (True, 2), (False, 20)]):
        for _ in range(count):
            semantic(stepped).trust.learn(differs, 0.5)
        sequence = stepped.submit(prompt(number, 20), 2)
        stepped.finish()
        reused.append(sequence.num_reused > 0)
    assert reused == [True, False, True]


def test_one_in_so_many_is_checked() -> None:
    trust = Trust(bound=0.05, verify_every=4)
    for _ in range(CHECKED_AT_FIRST):
        assert trust.wants_check()
        trust.learn(False, 0.1)
    assert [trust.wants_check() for _ in range(8)] == [False, False, False, True] * 2
    assert trust.divergence == pytest.approx(0.1)


def test_the_comparison_of_two_distributions() -> None:
    full = torch.log(torch.tensor([0.7, 0.2, 0.1]))
    assert compared(full, full) == (False, pytest.approx(0.0, abs=1e-9))
    differs, divergence = compared(full, torch.log(torch.tensor([0.2, 0.7, 0.1])))
    assert differs
    assert divergence == pytest.approx(0.7 * torch.log(torch.tensor(3.5)).item() - 0.2 * 1.2528, abs=1e-3)


def test_answers_and_spans_say_when_it_was_used(folder: Path) -> None:
    stepped = reusing(folder)
    stepped.generate(LISTING, 2)
    with_it, without = (stepped.submit(prompt(0, 20), 2, semantic_reuse=one) for one in (True, False))
    stepped.finish()
    details = usage(with_it)["prompt_tokens_details"]
    assert details == {"cached_tokens": with_it.num_cached, "semantic_tokens": with_it.num_reused}
    assert spans.of_sequence(with_it, 1.0)["tokenjoule.semantic_reuse.tokens"] == with_it.num_reused > 0
    assert "semantic_tokens" not in usage(without)["prompt_tokens_details"]
    assert "tokenjoule.semantic_reuse.tokens" not in spans.of_sequence(without, 1.0)


def test_it_needs_the_prefix_cache(folder: Path) -> None:
    with pytest.raises(ValueError, match="set max_cached_tokens above 0"):
        EngineSettings(folder, max_cached_tokens=0, semantic_reuse=SemanticReuse(recompute=0.1))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 90), st.integers(1, 40), st.sets(st.integers(0, 5), max_size=4))
def test_segments_and_what_is_kept_are_the_whole_prompt(start: int, count: int, cuts: set[int]) -> None:
    """However many positions a step takes, each one that is not kept is computed once, in order."""
    kept = tuple((16 * cut + 3, 16 * cut + 16) for cut in sorted(cuts))
    borrowed = Borrowed(start, (), kept, is_check=False)
    position, seen = borrowed.skip(start), list[int]()
    while position < 100:
        left = 100 - position - borrowed.ahead(position)
        pieces = list(borrowed.segments(position, min(count, left)))
        assert sum(stop - first for first, stop in pieces) == min(count, left)
        seen += [one for first, stop in pieces for one in range(first, stop)]
        position = borrowed.skip(pieces[-1][1])
    assert seen == [one for one in range(start, 100) if not any(first <= one < end for first, end in kept)]


schedules = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 12), st.integers(1, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("step"), st.integers(1, 6), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=300)
@given(schedules, st.sampled_from(["continuous", "token_aware"]), st.integers(1, 5), st.sampled_from([0.0, 0.3]))
def test_any_schedule_ends_with_every_slot_position_and_block_accounted_for(
    schedule: list[tuple[str, int, int]], policy: str, verify_every: int, recompute: float
) -> None:
    """Prompts are pieces of one text, so that they find each other's blocks in other places."""
    script, delivered, slots = Script([5, 7]), Delivery(), Slots(num_slots=3, num_positions=60)
    prefixes = PrefixTree(3, plugins.load("serving.engine.eviction", "lru", "Policy")())
    chosen = SemanticReuse(recompute=recompute, shortest=16, verify_every=verify_every, bound=0.5)
    engine = Engine(
        plugins.load("serving.engine.batching", policy, "Policy")(), script, slots,
        max_batched_tokens=8, end_ids=frozenset([END_ID]), deliver=delivered.extend, clock=lambda: 1.0,
        prefixes=prefixes, semantic=Semantic(chosen, prefixes),
    )  # fmt: skip
    sequences: list[Sequence] = []
    for action, first, second in [*schedule, ("step", 2000, 0)]:
        if action == "submit":
            asked = Request(f"r{len(sequences)}", tuple(range(first, first + second)), 6, Sampling(temperature=0.0))
            sequences.append(Sequence(asked, TextStream(lambda ids: "x" * len(ids), ()), arrived_s=0.0))
            engine.submit(sequences[-1])
        elif action == "cancel":
            engine.cancel(f"r{first}")
        for _ in range(first if action == "step" else 0):
            engine.take_messages()
            has_work = engine.step().has_work
            slots.check()
            prefixes.check()
            if not has_work:
                break
    assert all(one.state is State.DONE for one in sequences)
    assert (slots.free_slots, slots.free_positions + slots.cached_positions) == (3, 60)
    assert all(len(one.output) == 6 for one in sequences if one.outcome == "answered")
    counters = engine.counters
    prefilled = [position for decodes, position in script.computed if not decodes]
    assert (counters.prefill_tokens, counters.prefill_context) == (len(prefilled), sum(prefilled))
    assert counters.semantic_reuse_tokens == sum(one.num_reused for one in sequences)
