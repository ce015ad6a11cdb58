"""An answer on trial: the client sees it as if asked for plainly, or sees the next tier's and nothing of it."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from conventions.confidence import Calibration
from tests.serving.gateway.gateway_process import MESSAGES, Running, Trace, settings
from tests.serving.gateway.openai_stub import Behaviour, Stub
from tests.serving.otlp_sink import Sink

CALIBRATION = Calibration("least_margin", (0.0, 1.0), (0.0, 1.0), "scout", "0" * 16, 10, 5, "test")
CHAT = {"model": "auto", "messages": MESSAGES}


@pytest.fixture(scope="module")
def gateway(
    start: Callable[[str], Running],
    two_stubs: tuple[Stub, Stub],
    sink: Sink,
    tmp_path_factory: pytest.TempPathFactory,
) -> Running:
    """Tier small is judged by the identity, from 0.8 on; large answers what small is not sure of."""
    path = tmp_path_factory.mktemp("calibration") / "confidence.json"
    path.write_text(json.dumps(asdict(CALIBRATION)))
    routing = f'[serving.gateway.routing.cascade]\nthreshold = 0.8\ncalibration = {{small = "{path}"}}\n'
    text = settings(two_stubs, policy="cascade", cache="exact", otlp_endpoint=sink.url, read_timeout_s=2.0)
    return start(f"{text}\n{routing}")


def said(*chances: float, text: str = "yes", usage: bool = True) -> Behaviour:
    """An answer whose tokens have these probabilities, the rest of each with one runner-up."""
    entries = [
        {
            "token": "t", "logprob": math.log(one), "bytes": None,
            "top_logprobs": [{"token": "t", "logprob": math.log(one)}, {"token": "u", "logprob": math.log(1 - one)}],
        }
        for one in chances
    ]  # fmt: skip
    choice = {
        "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        "logprobs": {"content": entries, "refusal": None} if chances else None,
    }  # fmt: skip
    body = {"id": "cmpl-small", "object": "chat.completion", "created": 1, "model": "up-small", "choices": [choice]}
    counts = {"prompt_tokens": 5, "completion_tokens": len(chances), "total_tokens": 5 + len(chances)}
    return Behaviour(raw_body=json.dumps({**body, **({"usage": counts} if usage else {})}).encode())


def chat(gateway: Running, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return gateway.client.post("/v1/chat/completions", json={**CHAT, **fields}, headers=headers)


def test_a_sure_answer_is_shown_without_the_odds_that_only_the_gateway_asked_for(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour = said(0.99, 0.95)
    answer = chat(gateway, trace.headers).json()
    assert answer["choices"][0]["message"]["content"] == "yes"
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 2
    sent = stubs[0].seen[0].body
    assert (sent["model"], sent["logprobs"], sent["top_logprobs"]) == ("up-small", True, 2)
    assert not stubs[1].seen
    attempt, call = by_role(sink, trace, 2)
    assert attempt.attributes["tokenjoule.outcome"] == "answered"
    assert attempt.attributes["tokenjoule.confidence"] == pytest.approx(0.9)
    assert call.attributes["tokenjoule.route.reason"] == "small sure"
    assert "tokenjoule.escalated_from" not in call.attributes


def test_an_unsure_answer_is_not_shown_and_both_tries_are_attempts_of_one_call(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour = said(0.99, 0.85, text="no")
    response = chat(gateway, trace.headers)
    assert response.json()["choices"][0]["message"]["content"] == "It is open."
    assert response.headers["x-tokenjoule-backend"] == "second"
    assert stubs[1].seen[0].body == {"model": "up-large", "messages": MESSAGES}
    small, large, call = by_role(sink, trace, 3)
    assert [one.attributes["tokenjoule.attempt"] for one in (small, large)] == [1, 2]
    assert [one.attributes["tokenjoule.outcome"] for one in (small, large)] == ["refused", "answered"]
    assert small.attributes["tokenjoule.confidence"] == pytest.approx(0.7)
    assert "error.type" not in small.attributes
    assert call.attributes["tokenjoule.escalated_from"] == "small"
    assert call.attributes["tokenjoule.tier"] == "large"
    assert call.attributes["gen_ai.usage.output_tokens"] == 4, "the answer's own, not the refused one's"
    assert call.attributes["tokenjoule.route.reason"] == "small refused → large"


def test_a_streaming_client_gets_a_stream_whoever_answers(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    stubs[0].behaviour = said(0.99, text="yes it is")
    response = chat(gateway, stream=True)
    assert "stream" not in stubs[0].seen[0].body
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "yes it is"
    assert all(not chunk["choices"][0].get("logprobs") and "usage" not in chunk for chunk in chunks)
    stubs[0].behaviour = said(0.5)
    assert chat(gateway, stream=True).content.endswith(b"data: [DONE]\n\n")
    assert stubs[1].seen[0].body["stream"] is True


def test_a_client_that_asks_for_log_probabilities_gets_as_many_as_it_asked_for(
    gateway: Running, stubs: tuple[Stub, Stub]
) -> None:
    stubs[0].behaviour = said(0.99)
    (entry,) = chat(gateway, logprobs=True, top_logprobs=1).json()["choices"][0]["logprobs"]["content"]
    assert (stubs[0].seen[0].body["top_logprobs"], len(entry["top_logprobs"])) == (2, 1)
    (entry,) = chat(gateway, logprobs=True, top_logprobs=5).json()["choices"][0]["logprobs"]["content"]
    assert (stubs[0].seen[1].body["top_logprobs"], len(entry["top_logprobs"])) == (5, 2)


@pytest.mark.parametrize("how", [said(), Behaviour(raw_body=b'{"choices": []}'), Behaviour(raw_body=b"[1]")])
def test_an_answer_without_odds_is_not_trusted(gateway: Running, stubs: tuple[Stub, Stub], how: Behaviour) -> None:
    stubs[0].behaviour = how
    assert chat(gateway).headers["x-tokenjoule-backend"] == "second"


def test_plain_completions_are_judged_too(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    logprobs = {
        "tokens": ["y"], "token_logprobs": [math.log(0.99)], "text_offset": [0],
        "top_logprobs": [{"y": math.log(0.99), "n": math.log(0.01)}],
    }  # fmt: skip
    choice = {"index": 0, "text": "yes", "logprobs": logprobs, "finish_reason": "stop"}
    body = {"id": "c", "object": "text_completion", "created": 1, "model": "up-small", "choices": [choice]}
    stubs[0].behaviour = Behaviour(raw_body=json.dumps(body).encode())
    response = gateway.client.post("/v1/completions", json={"model": "auto", "prompt": "Is it open?"})
    assert (response.json()["choices"][0]["text"], response.json()["choices"][0]["logprobs"]) == ("yes", None)
    assert stubs[0].seen[0].body["logprobs"] == 2


def test_a_shown_answer_is_remembered_and_a_refused_one_is_not(gateway: Running, stubs: tuple[Stub, Stub]) -> None:
    stubs[0].behaviour = said(0.6, text="no")
    asked = [{"role": "user", "content": "Is the cellar open?"}]
    first = chat(gateway, messages=asked, temperature=0)
    again = chat(gateway, messages=asked, temperature=0)
    assert [one.headers["x-tokenjoule-cache"] for one in (first, again)] == ["miss", "hit"]
    assert again.json()["choices"][0]["message"]["content"] == "It is open."
    stubs[0].behaviour = said(0.99, text="yes")
    asked = [{"role": "user", "content": "Is the attic open?"}]
    kept = [chat(gateway, messages=asked, temperature=0).json() for _ in range(2)]
    assert kept[0]["choices"] == kept[1]["choices"]
    assert len([one for one in stubs[0].seen if one.body["messages"] == asked]) == 1


def test_when_the_dearer_tier_fails_the_client_is_told_so(
    gateway: Running, stubs: tuple[Stub, Stub], sink: Sink, trace: Trace
) -> None:
    stubs[0].behaviour, stubs[1].behaviour = said(0.6), Behaviour(status=500)
    assert chat(gateway, trace.headers).status_code == 500
    small, large, call = by_role(sink, trace, 3)
    assert [one.attributes["tokenjoule.outcome"] for one in (small, large)] == ["refused", "failed"]
    assert call.attributes["error.type"] == "500"


def by_role(sink: Sink, trace: Trace, count: int) -> list[Any]:
    """Attempts in their order, then the call."""
    found = sink.spans(trace.trace_id, count)
    return sorted(found, key=lambda span: span.attributes.get("tokenjoule.attempt", 99))
