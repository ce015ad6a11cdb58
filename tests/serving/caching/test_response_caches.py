"""Every cache of the folder keeps the contract; the exact one keeps tenants, time and size apart."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions import plugins
from serving.caching import exact
from serving.caching._types import MAX_ANSWER_BYTES, Question, ResponseCache, StoredAnswer

CACHES = plugins.names("serving.caching")
ASKED = {"model": "m", "messages": [{"role": "user", "content": "open?"}], "temperature": 0}
ANSWER = StoredAnswer(b"{}", tier="small")


def question(tenant: str = "ann", operation: str = "chat", deterministic: bool = True, **changed: Any) -> Question:
    return Question(tenant, operation, {**ASKED, **changed}, deterministic)


def cache(name: str, max_entries: int = 4, ttl_s: float = 10.0) -> ResponseCache:
    made: ResponseCache = plugins.load("serving.caching", name, "Cache")(max_entries, ttl_s)
    return made


def test_the_folder_offers_both_caches() -> None:
    assert {"exact", "none"} <= set(CACHES)


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_finds_nothing_that_it_was_not_given(name: str) -> None:
    assert cache(name).find("unknown", 0.0) is None


@pytest.mark.parametrize("name", CACHES)
def test_what_is_not_deterministic_is_not_cacheable(name: str) -> None:
    assert cache(name).key(question(deterministic=False)) is None


@pytest.mark.parametrize("name", CACHES)
def test_what_is_kept_under_a_key_is_found_until_it_is_too_old(name: str) -> None:
    made = cache(name)
    if (key := made.key(question())) is not None:
        made.keep(key, ANSWER, 100.0)
        assert made.find(key, 110.0) == ANSWER
        assert made.find(key, 110.1) is None


def test_none_caches_nothing() -> None:
    assert cache("none").key(question()) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "bob"}, {"operation": "text_completion"}, {"model": "n"}, {"max_tokens": 3}, {"seed": 1},
        {"messages": []}, {"tools": [{"type": "function"}]}, {"stop": ["."]}, {"logprobs": True},
    ],
)  # fmt: skip
def test_everything_that_can_change_the_answer_changes_the_key(changed: dict[str, Any]) -> None:
    made = cache("exact")
    assert made.key(question()) != made.key(question(**changed))


@pytest.mark.parametrize("changed", [{"stream": True}, {"stream_options": {"include_usage": True}}, {"user": "ann"}])
def test_how_and_for_whom_to_answer_does_not_change_the_key(changed: dict[str, Any]) -> None:
    made = cache("exact")
    assert made.key(question()) == made.key(question(**changed))


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.none(), max_size=5), st.randoms())
def test_the_order_of_fields_does_not_change_the_key(fields: dict[str, Any], order: Any) -> None:
    names = list(fields)
    order.shuffle(names)
    shuffled = {name: fields[name] for name in names}
    made = exact.Cache(max_entries=1, ttl_s=1.0)
    keys = [made.key(dataclasses.replace(question(), parameters=each)) for each in (fields, shuffled)]
    assert keys[0] == keys[1]


def test_the_least_recently_used_answer_goes_first() -> None:
    made = cache("exact", max_entries=2)
    made.keep("a", ANSWER, 0.0)
    made.keep("b", ANSWER, 0.0)
    made.find("a", 1.0)
    made.keep("c", ANSWER, 2.0)
    assert [made.find(key, 3.0) is not None for key in "abc"] == [True, False, True]


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=1), max_size=50))
def test_a_cache_never_holds_more_than_it_may(keys: list[str]) -> None:
    made = exact.Cache(max_entries=3, ttl_s=10.0)
    for key in keys:
        made.keep(key, ANSWER, 0.0)
        assert len(made) <= 3


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    made = cache("exact")
    made.keep("a", StoredAnswer(b"x" * (MAX_ANSWER_BYTES + 1), tier=""), 0.0)
    assert made.find("a", 0.0) is None
