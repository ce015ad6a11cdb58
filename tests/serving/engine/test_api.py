"""The OpenAI API over a real socket: shapes, streams, limits, errors."""

import json
from typing import Any

import httpx
import pytest

from tests.serving.engine.conftest import MAX_MODEL_LEN, MODEL, Running

MESSAGES = [{"role": "user", "content": "Is the archive open at nine?"}]
GREEDY = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}


def chat(server: Running, **fields: Any) -> dict[str, Any]:
    response = server.client.post("/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def complete(server: Running, prompt: str = "the archive", **fields: Any) -> dict[str, Any]:
    response = server.client.post("/v1/completions", json={"model": MODEL, "prompt": prompt, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def events(server: Running, path: str, **fields: Any) -> list[dict[str, Any]]:
    """The objects of a stream that ends as it should."""
    body = {"model": MODEL, "stream": True, **fields}
    with server.client.stream("POST", path, json=body) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        frames = response.read().decode("utf-8").split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def test_a_chat_answer_has_the_documented_shape(server: Running) -> None:
    body = chat(server, **GREEDY)
    assert body["object"] == "chat.completion"
    assert body["model"] == MODEL
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "length"
    usage = body["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


def test_a_chat_stream_says_the_role_first_and_joins_to_the_whole_answer(server: Running) -> None:
    chunks = events(server, "/v1/chat/completions", messages=MESSAGES, **GREEDY)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    text = "".join(delta["content"] for delta in deltas)
    assert text == chat(server, **GREEDY)["choices"][0]["message"]["content"]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["length"]
    assert not any("usage" in chunk for chunk in chunks)


def test_a_completion_stream_joins_to_the_whole_text_with_usage_last(server: Running) -> None:
    options = {"stream_options": {"include_usage": True}, **GREEDY}
    *chunks, last = events(server, "/v1/completions", prompt="the archive", **options)
    whole = complete(server, **GREEDY)
    assert whole["object"] == "text_completion"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert last["choices"] == []
    assert last["usage"] == whole["usage"]


def test_a_stop_string_ends_the_answer_and_is_not_shown(server: Running) -> None:
    """The stop string is cut from the middle of a known answer, so it begins and ends inside tokens."""
    fields = {**GREEDY, "max_tokens": 60}
    text = complete(server, **fields)["choices"][0]["text"]
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    expected = text[: text.find(stop)]
    for body in (complete(server, stop=stop, **fields), complete(server, stop=["@@nowhere@@", stop], **fields)):
        assert body["choices"][0]["text"] == expected
        assert body["choices"][0]["finish_reason"] == "stop"
        assert body["usage"]["completion_tokens"] < 60
    chunks = events(server, "/v1/completions", prompt="the archive", stop=[stop], **fields)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == expected


def test_chat_logprobs(server: Running) -> None:
    content = chat(server, logprobs=True, top_logprobs=3, **GREEDY)["choices"][0]["logprobs"]["content"]
    assert len(content) == 12
    for entry in content:
        assert len(entry["top_logprobs"]) == 3
        assert entry["logprob"] == entry["top_logprobs"][0]["logprob"], "greedy takes the likeliest"
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
    streamed = events(server, "/v1/chat/completions", messages=MESSAGES, logprobs=True, top_logprobs=3, **GREEDY)
    pieces = [chunk["choices"][0]["logprobs"] for chunk in streamed]
    assert [entry for piece in pieces if piece for entry in piece["content"]] == content


def test_completion_logprobs(server: Running) -> None:
    logprobs = complete(server, logprobs=2, **GREEDY)["choices"][0]["logprobs"]
    assert {len(logprobs[key]) for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")} == {12}
    lengths = [len(token) for token in logprobs["tokens"]]
    assert logprobs["text_offset"] == [sum(lengths[:index]) for index in range(12)]
    assert "logprobs" in complete(server, **GREEDY)["choices"][0]


def test_a_seed_repeats_an_answer(server: Running) -> None:
    fields = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 20, "ignore_eos": True}
    answers = [complete(server, seed=seed, **fields)["choices"][0]["text"] for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_a_request_id_is_taken_over_and_one_is_made_otherwise(server: Running) -> None:
    body = {"prompt": "the", "max_tokens": 1}
    named = server.client.post("/v1/completions", json=body, headers={"X-Request-Id": "abc-1"})
    assert named.headers["x-request-id"] == "abc-1"
    assert named.json()["id"] == "cmpl-abc-1"
    made = server.client.post("/v1/chat/completions", json={"messages": MESSAGES, "max_tokens": 1})
    assert made.json()["id"] == f"chatcmpl-{made.headers['x-request-id']}"


def test_token_ids_and_content_parts_are_understood(server: Running) -> None:
    assert complete(server, prompt=[1, 40, 41], max_tokens=1)["usage"]["prompt_tokens"] == 3  # type: ignore[arg-type]
    parts = [{"role": "user", "content": [{"type": "text", "text": "Is the archive open "}, *_nine()]}]
    assert chat(server, messages=parts, **GREEDY)["choices"] == chat(server, **GREEDY)["choices"]


def _nine() -> list[dict[str, str]]:
    return [{"type": "text", "text": "at nine?"}]


@pytest.mark.parametrize(
    ("fields", "status", "param", "code"),
    [
        ({"model": "other"}, 404, "model", "model_not_found"),
        ({"max_tokens": "many"}, 400, "max_tokens", "invalid_value"),
        ({"max_tokens": 0}, 400, "max_tokens", "invalid_value"),
        ({"temperature": 3}, 400, "temperature", "invalid_value"),
        ({"prompt": None}, 400, "prompt", "invalid_value"),
        ({"prompt": ""}, None, None, None),
        ({"prompt": [1, 10**6]}, 400, "prompt", "invalid_value"),
        ({"prompt": ["a", "b"]}, 400, "prompt", "invalid_value"),
        ({"max_tokens": 9000}, 400, "prompt", "context_length_exceeded"),
        ({"n": 2}, 400, "n", "unsupported_parameter"),
        ({"echo": True}, 400, "echo", "unsupported_parameter"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty", "unsupported_parameter"),
    ],
)
def test_a_refusal_names_the_field(
    server: Running, fields: dict[str, Any], status: int | None, param: str | None, code: str | None
) -> None:
    """The empty prompt is the one of these that is answered: it has the token that begins every text."""
    response = server.client.post("/v1/completions", json={"prompt": "the", "max_tokens": 2, **fields})
    if status is None:
        assert response.status_code == 200
        return
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]


def test_a_context_that_is_too_long_is_refused_with_the_numbers(server: Running) -> None:
    response = server.client.post("/v1/completions", json={"prompt": [40] * 8150, "max_tokens": 50})
    message = response.json()["error"]["message"]
    assert all(number in message for number in (str(MAX_MODEL_LEN), "8150", "50"))


def test_broken_json_a_missing_field_and_an_unknown_path(server: Running) -> None:
    broken = server.client.post("/v1/completions", content=b'{"prompt": ')
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")
    missing = server.client.post("/v1/chat/completions", json={"model": MODEL})
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "messages")
    nowhere = server.client.get("/v1/nowhere")
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert server.client.get("/v1/completions").json()["error"]["code"] == "method_not_allowed"


def test_models_health_and_metrics(server: Running) -> None:
    model = server.client.get("/v1/models").json()["data"][0]
    assert (model["id"], model["max_model_len"]) == (MODEL, MAX_MODEL_LEN)
    assert server.client.get("/health").json() == {"status": "ok", "model": MODEL}
    complete(server, **GREEDY)
    metrics = server.metrics()
    assert metrics["tokenjoule_engine_generated_tokens_total"] >= 12
    assert metrics["gen_ai_server_time_to_first_token_seconds_count"] >= 1
    assert metrics["gen_ai_server_request_duration_seconds_count"] >= 1


def test_an_unknown_role_reaches_the_template_as_it_is(server: Running) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *MESSAGES]
    assert chat(server, messages=messages, **GREEDY)["usage"]["prompt_tokens"] > 10


def test_answers_match_the_client_library_types(server: Running) -> None:
    """Every chunk is valid JSON in one frame and the response is not buffered by a length header."""
    with httpx.stream(
        "POST", f"{server.url}/v1/completions", json={"prompt": "the", "stream": True, **GREEDY}
    ) as response:
        assert "content-length" not in response.headers
        assert all(line.startswith("data: ") for line in response.iter_lines() if line)
