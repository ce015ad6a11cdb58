"""A real server is asked over HTTP; what it says, how long it took and how it failed is kept."""

import math
from collections.abc import Iterator

import pytest

from conventions.errors import TraceFormatError, UpstreamError
from tests.serving.gateway.openai_stub import Behaviour, Stub
from training.evaluation import asking, questions
from training.evaluation.asking import Server
from training.evaluation.questions import Question

OPEN = Question(({"role": "user", "content": "Is the archive open?"},), "It is open.", "easy", 8)


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    made = Stub()
    made.start()
    yield made
    made.stop()


def test_every_question_is_asked_once_greedily_under_a_trace_of_its_own(stub: Stub) -> None:
    stub.seen.clear()
    told: list[None] = []
    answers = asking.ask(Server(stub.url, "scout"), [OPEN] * 5, 2, lambda: told.append(None))
    asked = [one for one in stub.seen if one.body["messages"] == list(OPEN.messages)]
    assert len(asked) == len(answers) == len(told) == 5
    assert {(one.body["model"], one.body["temperature"], one.body["max_tokens"]) for one in asked} == {("scout", 0, 8)}
    assert {one.headers["traceparent"].split("-")[1] for one in asked} == {answer.trace_id for answer in answers}
    assert all(answer.is_right and len(answer.content_s) == 4 for answer in answers)
    assert all(0 < (answer.ttft_s or 0) <= answer.e2e_s for answer in answers)


def test_a_wrong_answer_and_a_broken_one_are_not_right(stub: Stub) -> None:
    stub.behaviour = Behaviour(words=("No", "."))
    assert not asking.ask(Server(stub.url, "scout"), [OPEN], 1, lambda: None)[0].is_right
    stub.behaviour = Behaviour(raw_stream=b'data: {"choices": [{"delta": {"content": "It is open."}}]}\n\n')
    with pytest.raises(UpstreamError, match="without a finish reason"):
        asking.ask(Server(stub.url, "scout"), [OPEN], 1, lambda: None)
    stub.behaviour = Behaviour()


def test_a_server_that_answers_nothing_is_an_error_with_its_words(stub: Stub) -> None:
    stub.behaviour = Behaviour(status=503)
    with pytest.raises(UpstreamError, match=r"answered none of 2 questions; the last said: HTTP 503.*stub says no"):
        asking.ask(Server(stub.url, "scout"), [OPEN, OPEN], 1, lambda: None)
    stub.behaviour = Behaviour()


def test_log_probabilities_come_with_their_runner_up(stub: Stub) -> None:
    event = (
        b'data: {"choices": [{"delta": {"content": "It is open."}, "finish_reason": "stop", "logprobs": {"content": '
        b'[{"token": "x", "logprob": -0.1, "top_logprobs": [{"logprob": -0.1}, {"logprob": -2.5}]}]}}]}\n\n'
    )
    stub.behaviour = Behaviour(raw_stream=event)
    (answer,) = asking.ask(Server(stub.url, "scout", logprobs=True), [OPEN], 1, lambda: None)
    (odds,) = answer.tokens
    assert odds.probability == pytest.approx(math.exp(-0.1))
    assert odds.margin == pytest.approx(math.exp(-0.1) - math.exp(-2.5))
    assert stub.seen[-1].body["top_logprobs"] == 2
    stub.behaviour = Behaviour()


def test_a_bad_row_is_named_with_its_line(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "questions.jsonl"
    path.write_text('{"messages": [], "answer": "a", "difficulty": "easy", "max_tokens": 3}\n{"answer": "b"}\n')
    with pytest.raises(TraceFormatError, match=r"questions\.jsonl:2: a question needs messages, answer"):
        questions.read(path)
    assert len(questions.read(path, limit=1)) == 1
    with pytest.raises(TraceFormatError, match="give JSON lines"):
        questions.read(tmp_path / "none.jsonl")
