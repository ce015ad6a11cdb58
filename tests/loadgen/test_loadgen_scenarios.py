import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conventions import plugins
from conventions.errors import TraceFormatError
from conventions.settings import build
from loadgen import prompts
from loadgen.scenarios.steady_chat import Scenario as SteadyChat
from loadgen.scenarios.trace_replay import Scenario as TraceReplay

DATA = Path(__file__).parent / "data"
NEEDED: dict[str, dict[str, Any]] = {"trace_replay": {"trace": str(DATA / "azure.csv")}}


@pytest.mark.parametrize("name", plugins.names("loadgen.scenarios"))
def test_every_scenario_makes_the_same_plan_from_the_same_settings(name: str) -> None:
    schema = plugins.load("loadgen.scenarios", name, "Scenario")
    first, second = (build(schema, NEEDED.get(name, {}), where=name).plan() for _ in range(2))
    assert first == second
    assert first.requests
    assert [request.at_s for request in first.requests] == sorted(request.at_s for request in first.requests)
    for request in first.requests:
        body = json.loads(request.body)
        assert body["stream"] is request.stream
        assert body["max_tokens"] == request.max_tokens


def test_another_seed_asks_other_questions_at_other_times() -> None:
    one, two = SteadyChat(seed=1).plan(), SteadyChat(seed=2).plan()
    assert one.requests[0].at_s != two.requests[0].at_s
    assert one.requests[0].body != two.requests[0].body


def test_repeats_ask_earlier_questions_of_the_same_key_byte_for_byte() -> None:
    plan = SteadyChat(rate=10, seconds=40, repeats=0.3, keys=("a", "b")).plan()
    distinct = len({(request.key, request.body) for request in plan.requests})
    assert 0.6 < distinct / len(plan.requests) < 0.8
    assert plan.notes == ()


def test_a_file_with_too_few_questions_is_said_in_the_notes(tmp_path: Path) -> None:
    lines = prompts.LIBRARY_DESK.read_text(encoding="utf-8").splitlines()[:5]
    (tmp_path / "few.jsonl").write_text("\n".join(lines))
    plan = SteadyChat(rate=10, seconds=2, repeats=0.0, questions=tmp_path / "few.jsonl").plan()
    assert plan.notes == (f"{len(plan.requests) - 5} more questions were asked again, because the file has no more",)


def test_keys_are_mixed_and_never_shown() -> None:
    plan = SteadyChat(rate=20, seconds=30, keys=("secret-1", "secret-1", "secret-2")).plan()
    counts = Counter(request.key for request in plan.requests)
    assert 1.5 < counts["secret-1"] / counts["secret-2"] < 2.7
    assert "secret" not in repr(plan.requests[0])


def test_the_share_of_streamed_and_hard_requests_is_kept() -> None:
    plan = SteadyChat(rate=20, seconds=30, streamed=0.5, hard=1.0, repeats=0.0).plan()
    assert 0.4 < sum(request.stream for request in plan.requests) / len(plan.requests) < 0.6
    hard = {prompt.answer for prompt in prompts.read(prompts.LIBRARY_DESK) if prompt.difficulty == "hard"}
    assert {request.expected for request in plan.requests} <= hard


@pytest.mark.parametrize("values", [{"streamed": 2.0}, {"repeats": -0.1}, {"hard": 1.1}])
def test_a_share_outside_0_to_1_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="share between 0 and 1"):
        SteadyChat(**values)


def test_a_replay_honours_lengths_and_asks_to_ignore_the_end_token() -> None:
    plan = TraceReplay(trace=DATA / "azure.csv", scale=0.5, max_input=100).plan()
    bodies = [json.loads(request.body) for request in plan.requests]
    assert [body["max_tokens"] for body in bodies] == [10, 8, 27, 60]
    assert all(body["ignore_eos"] for body in bodies)
    assert [len(body["messages"][0]["content"].split()) for body in bodies] == [100, 30, 100, 100]
    assert plan.duration_s == 1.75
    assert "length caps cut 3 requests by 1094 prompt and 0 answer tokens" in plan.notes[-1]


def test_mooncake_prompts_share_exactly_their_leading_blocks() -> None:
    plan = TraceReplay(trace=DATA / "mooncake.jsonl", block_tokens=16).plan()
    words = [json.loads(request.body)["messages"][0]["content"].split() for request in plan.requests]
    assert [len(one) for one in words] == [34, 47, 19, 16, 16]  # lengths × 16 / 512
    assert words[0][:32] == words[1][:32]
    assert words[0][32:] != words[1][32:34]
    assert words[0][:16] == words[2][:16] == words[4]
    assert words[3] != words[4]


def test_equal_stamps_are_spread_and_the_notes_say_so() -> None:
    spread = TraceReplay(trace=DATA / "mooncake.jsonl").plan()
    plain = TraceReplay(trace=DATA / "mooncake.jsonl", spread=False).plan()
    assert len({request.at_s for request in spread.requests}) == 5
    assert [request.at_s for request in plain.requests] == [0, 0, 3, 3, 6]
    assert spread.notes == ("2 requests of the trace share a stamp and were spread until the next",)


def test_a_replay_ends_after_the_wanted_seconds_of_the_replay() -> None:
    plan = TraceReplay(trace=DATA / "azure.csv", scale=2.0, seconds=3.0, spread=False).plan()
    assert [request.at_s for request in plan.requests][-1] < 3.0
    assert len(plan.requests) == 3


@pytest.mark.parametrize("values", [{"scale": 0.0}, {"limit": 0}, {"max_input": -5}, {"streamed": 1.5}])
def test_senseless_replay_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"above 0|between 0 and 1"):
        TraceReplay(trace=DATA / "azure.csv", **values)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ('{"messages": []}', "expected an object with a list 'messages'"),
        ('{"messages": [{"role": "user"}]}', "needs 'role' and 'content'"),
        ('{"messages": [{"role": "user", "content": 5}]}', "must be text"),
        ('{"messages": [{"role": "user", "content": "x"}], "answer": 5}', "'answer' is 5"),
        ('{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "'max_tokens' is 0"),
    ],
)
def test_a_bad_question_is_named_by_file_line_and_reason(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(f'{{"messages": [{{"role": "user", "content": "x"}}]}}\n\n{line}\n')
    with pytest.raises(TraceFormatError, match=r"questions\.jsonl:3: ") as raised:
        prompts.read(path)
    assert message in str(raised.value)


def test_filler_has_the_wanted_number_of_words_and_hangs_on_its_seed() -> None:
    assert len(prompts.filler(500, 1).split()) == 500
    assert prompts.filler(50, 1, 2) == prompts.filler(50, 1, 2) != prompts.filler(50, 1, 3)
    assert prompts.filler(0, 1) == ""
