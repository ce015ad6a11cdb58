"""What is cached of a prompt, for whom, what goes first, and that every place is free or holds one block."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions import plugins
from conventions.errors import PluginError
from serving.engine.prefix import BLOCK_SIZE, PrefixTree
from tests.serving.engine.conftest import Running
from tests.serving.engine.stepped_engine import Stepped, tokens

law = settings(deadline=None, max_examples=80)
FOLDER = "serving.engine.eviction"
every_policy = pytest.mark.parametrize("name", plugins.names(FOLDER))


def tree(num_blocks: int, name: str = "lru") -> PrefixTree:
    return PrefixTree(num_blocks, plugins.load(FOLDER, name, "Policy")())


def prompt(*blocks: int, rest: int = 0) -> list[int]:
    """One block of equal tokens per number, and ``rest`` tokens that fill none."""
    return [token for token in blocks for _ in range(BLOCK_SIZE)] + [0] * rest


@every_policy
@law
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["insert", "take", "evict"]), st.lists(st.integers(0, 2), max_size=5), st.integers(0, 5)
        ),
        max_size=40,
    )
)
def test_conservation_holds_after_every_operation(name: str, steps: list[tuple[str, list[int], int]]) -> None:
    cache = tree(4, name)
    for action, blocks, count in steps:
        before = cache.num_cached
        if action == "insert":
            _, places = cache.insert("", prompt(*blocks), room=count)
            assert len(set(places)) == len(places)
            assert cache.num_cached <= before + count
        elif action == "take":
            assert len(cache.take("", prompt(*blocks))) <= len(blocks)
        else:
            assert cache.evict(count) == min(count, before)
        cache.check()


@every_policy
def test_what_was_inserted_is_found_up_to_the_last_full_block(name: str) -> None:
    cache = tree(8, name)
    start, places = cache.insert("", prompt(1, 2, rest=5), room=8)
    assert (start, len(places)) == (0, 2)
    assert cache.take("", prompt(1, 2, 3)) == places
    assert cache.take("", prompt(1, 3)) == places[:1]
    assert cache.take("", prompt(2, 1)) == []
    start, more = cache.insert("", prompt(1, 2, 3), room=8)
    assert start == 2 * BLOCK_SIZE
    assert cache.take("", prompt(1, 2, 3)) == [*places, *more]


def test_another_salt_finds_nothing() -> None:
    cache = tree(8)
    cache.insert("reading-room", prompt(1, 2), room=8)
    assert cache.lookup("archive", prompt(1, 2)) == 0
    assert cache.lookup("reading-room", prompt(1, 2)) == 2 * BLOCK_SIZE


@every_policy
def test_the_end_of_a_chain_goes_before_its_beginning(name: str) -> None:
    cache = tree(3, name)
    cache.insert("", prompt(1, 2, 3), room=3)
    cache.evict(1)
    assert cache.lookup("", prompt(1, 2, 3)) == 2 * BLOCK_SIZE


def test_lru_drops_what_was_used_longest_ago_and_prefix_tree_what_was_never_used_again() -> None:
    for name, survivor in (("lru", 2), ("prefix_tree", 1)):
        cache = tree(2, name)
        cache.insert("", prompt(1), room=2)
        cache.take("", prompt(1))
        cache.insert("", prompt(2), room=2)
        cache.insert("", prompt(3), room=0)
        assert cache.lookup("", prompt(survivor)) == BLOCK_SIZE, name
        assert cache.lookup("", prompt(3)) == BLOCK_SIZE, name


def test_an_unknown_eviction_is_answered_with_the_choices(weights: Path) -> None:
    with pytest.raises(PluginError, match="choose from lru, prefix_tree"):
        Stepped(weights, eviction="lfu")


def test_cached_prefixes_give_way_to_requests_that_need_their_positions(weights: Path) -> None:
    """The budget of 96 positions is full of prefixes when a request for all of them comes."""
    stepped = Stepped(weights, max_kv_tokens=96, max_cached_tokens=96)
    stepped.generate(range(6, 86), 10)
    assert stepped.submit(range(6, 86), 10).request.num_prompt_tokens == 80
    stepped.finish()
    large = stepped.submit(range(100, 190), 6)
    stepped.finish()
    assert len(tokens(large)) == 6


def test_counters_show_what_was_found_and_prefill_counts_the_rest(weights: Path) -> None:
    stepped = Stepped(weights)
    question = list(range(6, 56))
    answers = [stepped.generate(question, 4) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    counters = stepped.engine.counters
    assert (counters.prefix_cache_queries, counters.prefix_cache_hits) == (150, 2 * 48)
    assert counters.prefill_tokens == 150 - 2 * 48
    assert counters.prefill_context == sum(range(50)) + 2 * (48 + 49)


def test_without_a_cache_nothing_is_looked_for(weights: Path) -> None:
    stepped = Stepped(weights, max_cached_tokens=0)
    for _ in range(2):
        stepped.generate(range(6, 56), 4)
    assert stepped.engine.counters.prefix_cache_queries == 0
    assert stepped.engine.counters.prefill_tokens == 100


def test_usage_spans_and_metrics_say_what_was_cached_and_tenants_share_nothing(server: Running) -> None:
    body = {"prompt": list(range(6, 70)), "max_tokens": 2, "temperature": 0}
    before = server.metrics()["tokenjoule_engine_prefix_cache_hits_total"]
    seen = []
    for number, headers in enumerate([{"X-Cache-Salt": "a"}, {"X-Cache-Salt": "a"}, {"X-Cache-Salt": "b"}, {}]):
        sent = {**headers, "X-Request-Id": f"salted-{number}"}
        answer = server.client.post("/v1/completions", json={**body, "cache_salt": "mine"}, headers=sent).json()
        seen.append(answer["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert seen == [0, 48, 0, 0]
    assert server.sink.span("cmpl-salted-1").attributes["gen_ai.usage.cache_read.input_tokens"] == 48
    assert server.metrics()["tokenjoule_engine_prefix_cache_hits_total"] - before == 48
