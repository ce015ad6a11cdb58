"""A kept answer says the same in either form, whatever is in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway import replay, sse
from tests.serving.gateway.openai_stub import answer, stream_events

OPERATIONS = {"chat": "/v1/chat/completions", "text_completion": "/v1/completions"}
TOOL_CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "open", "arguments": '{"room": "cafe"}'}},
    {"id": "c2", "type": "function", "function": {"name": "close", "arguments": "{}"}},
]


@pytest.mark.parametrize("operation", OPERATIONS)
@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_a_body_survives_being_streamed_and_put_together_again(operation: str, words: list[str]) -> None:
    body = answer({"model": "m"}, tuple(words), OPERATIONS[operation])
    events = replay.as_events(json.dumps(body).encode(), operation)
    again = json.loads(replay.as_body(events, operation))
    assert again["choices"] == body["choices"]
    assert (again["id"], again["model"], again["usage"]) == (body["id"], body["model"], body["usage"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stream_becomes_the_body_that_the_same_server_gives(operation: str) -> None:
    asked = {"model": "m", "stream_options": {"include_usage": True}}
    words, path = ("It", " is", " open", "."), OPERATIONS[operation]
    kept = stream_events(asked, words, path)
    body = json.loads(replay.as_body(kept, operation))
    expected = answer(asked, words, path)
    assert body["choices"] == expected["choices"]
    assert body["usage"] == expected["usage"]


def test_words_come_one_by_one_and_usage_comes_last() -> None:
    body = answer({"model": "m"}, ("It", " is", " open", "."), OPERATIONS["chat"])
    events = replay.as_events(json.dumps(body).encode(), "chat")
    chunks = [json.loads(sse.payload(event)) for event in events[:-1]]
    pieces = [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]
    assert pieces == ["", "It", " is", " open.", None]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert events[-1] == b"data: [DONE]\n\n"


def test_tool_calls_survive_both_ways() -> None:
    body = answer({"model": "m"}, ("",), OPERATIONS["chat"])
    body["choices"][0] |= {"finish_reason": "tool_calls"}
    body["choices"][0]["message"] |= {"content": None, "tool_calls": TOOL_CALLS}
    events = replay.as_events(json.dumps(body).encode(), "chat")
    again = json.loads(replay.as_body(events, "chat"))
    assert again["choices"][0]["message"]["tool_calls"] == TOOL_CALLS
    assert again["choices"][0]["message"]["content"] is None
    assert again["choices"][0]["finish_reason"] == "tool_calls"


def test_log_probabilities_survive_both_ways() -> None:
    body = answer({"model": "m"}, ("It", " is"), OPERATIONS["chat"])
    body["choices"][0]["logprobs"] = {"content": [{"token": "It", "logprob": -0.1}, {"token": " is", "logprob": -0.2}]}
    events = replay.as_events(json.dumps(body).encode(), "chat")
    again = json.loads(replay.as_body(events, "chat"))
    assert again["choices"][0]["logprobs"] == body["choices"][0]["logprobs"]


@given(st.lists(st.sampled_from([b"data: a", b": c", b"event: x\ndata: b"])), st.data())
def test_events_come_out_byte_for_byte_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n"])) for line in lines)
    splitter, events, start = sse.EventSplitter(), [], 0
    while start < len(whole):
        size = data.draw(st.integers(1, 20))
        events += splitter.feed(whole[start : start + size])
        start += size
    assert b"".join(events) + splitter.rest == whole
    assert len(events) == len(lines)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"id: 1\ndata: a\ndata: b\n\n", b"a\nb"),
        (b": ping\n\n", b""),
    ],
)
def test_the_data_of_an_event(event: bytes, expected: bytes) -> None:
    assert sse.payload(event) == expected
