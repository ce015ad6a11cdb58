"""Five calls of our gateway under other people's instrumentations: what they sent becomes what the calls were.

One chat, a stream with usage, a stream without, a chat of a model that does not exist, a text completion; recorded by
``tests/end_to_end/test_emitters.py``.
"""

from typing import Any

import pytest

from tests.golden.test_recorded_spans import calls, keys, rows

EMITTERS = ["openllmetry-0.62.4", "openinference-0.1.66", "openlit-1.45.0", "litellm-1.109.1"]
FIVE = [
    ("chat", "scout", False),
    ("chat", "scout", True),
    ("chat", "scout", True),
    ("chat", "no-such-model", False),
    ("text_completion", "scout", False),
]
NUMBERS = {"openlit-1.45.0": 4}  # OpenLIT leaves text completions out


def dialect(emitter: str) -> str:
    return emitter.partition("-")[0]


@pytest.mark.parametrize("emitter", EMITTERS)
def test_each_call_is_one_client_call_in_its_dialect(emitter: str) -> None:
    seen = calls(emitter)
    assert [what(row) for row in seen] == FIVE[: NUMBERS.get(emitter, 5)]
    assert {(row["dialect"], row["role"], row["provider"]) for row in seen} == {(dialect(emitter), "client", "openai")}


def what(row: dict[str, Any]) -> tuple[str, str, bool]:
    return row["operation"], row["model_requested"], row["streamed"]


@pytest.mark.parametrize("emitter", EMITTERS)
def test_tokens_finish_reasons_and_users_are_those_of_the_answers(emitter: str) -> None:
    seen = calls(emitter)
    assert [row["input_tokens"] for row in seen[:2]] == [13, 13]
    assert all(4 <= row["output_tokens"] <= 7 for row in seen[:2])
    assert [row["finish_reason"] for row in seen[:4]] == ["stop", "stop", "stop", None]
    assert [row["model_served"] for row in seen[:4]] == ["scout", "scout", "scout", None]
    assert [row["user_id"] for row in seen[:4]] == ["user-7", None, None, None]
    assert all(row["cost"] is None for row in seen)  # nobody has a price for this model


@pytest.mark.parametrize("emitter", EMITTERS)
def test_only_the_failed_call_has_an_error(emitter: str) -> None:
    errors = [row["error_type"] for row in calls(emitter)]
    assert errors.pop(3).rpartition(".")[2] == "NotFoundError"
    assert set(errors) == {None}


@pytest.mark.parametrize("emitter", EMITTERS[:2])
def test_a_first_token_is_later_than_nothing_and_only_of_a_stream(emitter: str) -> None:
    seen = calls(emitter)
    assert [row["ttft_s"] is not None for row in seen] == [False, True, True, False, False]
    assert all(0.003 < row["ttft_s"] < row["e2e_s"] for row in seen[1:3])


def test_what_openlit_calls_a_first_token_is_kept_but_is_none() -> None:
    seen = calls("openlit-1.45.0")
    assert {row["ttft_s"] for row in seen} == {None}
    sent = [float(dict(row["attributes"])["gen_ai.server.time_to_first_token"]) for row in seen[:3]]
    assert sent[0] == pytest.approx(seen[0]["e2e_s"], rel=0.1)  # of an answer at once: all of it


@pytest.mark.parametrize("emitter", EMITTERS)
def test_what_was_asked_and_answered_is_stored_only_if_wanted(emitter: str) -> None:
    assert "Sort from low" not in str(rows(emitter))
    assert "Sort from low" in str(rows(emitter, capture_content=True))
    assert not {
        key for key in keys(rows(emitter)) if key.startswith(("llm.choices", "llm.output_messages.0.message.c"))
    }


def test_litellm_sends_every_call_that_was_answered_twice_and_it_counts_once() -> None:
    found = rows("litellm-1.109.1")
    assert [row["name"] for row in found].count("raw_gen_ai_request") >= 4
    assert {row["role"] for row in found if row["name"] == "raw_gen_ai_request"} == {None}
