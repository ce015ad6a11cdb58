"""Early exit does what its rule says, token for token, alone and in any company, and leaves nothing behind."""

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from conventions.errors import ModelNotSupported
from serving.engine import exits, spans
from serving.engine.api.answers import usage
from serving.engine.api.problems import Problem
from serving.engine.api.wire import CompletionBody
from serving.engine.request import Sampling
from serving.engine.sequence import Sequence
from serving.engine.settings import EarlyExit
from tests.serving.engine import random_llama
from tests.serving.engine.exit_oracle import ExitOracle, save_heads
from tests.serving.engine.stepped_engine import Stepped, tokens

NUM_LAYERS = 5
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
CLOSE = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama.save(tmp_path_factory.mktemp("exits"), num_hidden_layers=NUM_LAYERS)


@pytest.fixture(scope="module")
def oracle(folder: Path) -> ExitOracle:
    return ExitOracle(folder, save_heads(folder, (1, 3)))


def prompts(count: int, seed: int) -> list[list[int]]:
    draw = Random(seed)
    return [[1, *(draw.randrange(6, 200) for _ in range(draw.randrange(3, 60)))] for _ in range(count)]


def check(sequence: Sequence, oracle: ExitOracle) -> int:
    """Equal to the oracle, or so close a call that rounding may decide it; how many tokens left early."""
    ours = tokens(sequence)
    threshold = sequence.request.exit_threshold
    expected, depths, closest = oracle.greedy(
        sequence.request.prompt, len(ours), 2.0 if threshold is None else threshold
    )
    if ours != expected:
        assert closest < CLOSE
        return 0
    early = [depth for depth in depths if depth < NUM_LAYERS]
    if closest >= CLOSE:
        assert sequence.exit_tokens == len(early)
        assert sequence.exit_skipped == pytest.approx(sum(NUM_LAYERS - depth for depth in early) / NUM_LAYERS)
    return len(early)


def test_alone_it_equals_the_plain_computation_of_the_same_rule(folder: Path, oracle: ExitOracle) -> None:
    stepped = Stepped(folder)
    early = 0
    for number, prompt in enumerate(prompts(6, seed=1)):
        sequence = stepped.submit(prompt, 24, exit_threshold=(0.1, 0.25, 0.5)[number % 3])
        stepped.finish()
        early += check(sequence, oracle)
    assert 20 < early < 6 * 23, "some leave and some do not"


def test_in_a_batch_of_all_kinds_each_answer_is_its_own(folder: Path, oracle: ExitOracle) -> None:
    """Different thresholds and none, chunked prompts in the same steps, some cancelled on the way."""
    stepped = Stepped(folder, max_num_seqs=6)
    sequences = []
    for number, prompt in enumerate(prompts(14, seed=2)):
        sequences.append(stepped.submit(prompt, 6 + 2 * number, exit_threshold=(None, 0.1, 0.3)[number % 3]))
        doomed = stepped.submit(prompt[::-1], 20, exit_threshold=0.2)
        for _ in range(3):
            stepped.step()
        stepped.engine.cancel(doomed.id)
    stepped.finish()
    assert sum(check(sequence, oracle) for sequence in sequences) > 20
    stepped.engine._memory.check()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_fills_the_layers_that_were_skipped(family: str, tmp_path: Path) -> None:
    """Biases, head norms, other attention shapes: what propagation must not forget."""
    random_llama.save(tmp_path, seed=3, family=family, num_hidden_layers=NUM_LAYERS)
    oracle = ExitOracle(tmp_path, save_heads(tmp_path, (2,)))
    stepped, early = Stepped(tmp_path), 0
    for prompt in prompts(3, seed=4):
        sequence = stepped.submit(prompt, 16, exit_threshold=0.15)
        stepped.finish()
        early += check(sequence, oracle)
    assert early > 3


@pytest.mark.parametrize(
    "drafting", [{"drafting": "prompt_lookup"}, {"drafting": "self_speculative", "draft_layers": 3}]
)
def test_speculation_gives_what_early_exit_alone_gives(
    drafting: dict[str, Any], folder: Path, oracle: ExitOracle
) -> None:
    stepped = Stepped(folder, draft_length=3, draft_adapts=False, **drafting)
    sequences = [stepped.submit(prompt, 80, exit_threshold=0.5) for prompt in prompts(4, seed=5)]
    stepped.finish()
    for sequence in sequences:
        ours = tokens(sequence)
        expected, _, closest = oracle.greedy(sequence.request.prompt, len(ours), 0.5)
        assert ours == expected or closest < CLOSE
    assert stepped.engine.counters.draft_proposed > 0
    assert stepped.engine.counters.early_exit_tokens > 0


def test_a_threshold_above_1_gives_the_answer_of_all_layers(folder: Path, oracle: ExitOracle) -> None:
    plain, exiting = Stepped(folder), Stepped(folder)
    for prompt in prompts(4, seed=6):
        sequence = exiting.submit(prompt, 16, exit_threshold=1.5)
        exiting.finish()
        assert tokens(sequence) == plain.generate(prompt, 16)
        assert sequence.exit_skipped == 0
    assert exiting.engine.counters.decode_tokens == plain.engine.counters.decode_tokens


def test_counters_hold_the_layers_that_were_computed(folder: Path, oracle: ExitOracle) -> None:
    stepped = Stepped(folder)
    sequences = [stepped.submit(prompt, 12, exit_threshold=0.2) for prompt in prompts(5, seed=8)]
    stepped.finish()
    counters = stepped.engine.counters
    assert counters.early_exit_tokens == sum(one.exit_tokens for one in sequences) > 0
    assert counters.early_exit_skipped == pytest.approx(sum(one.exit_skipped for one in sequences))
    assert counters.decode_tokens == pytest.approx(sum(len(one.output) - 1 - one.exit_skipped for one in sequences))


def test_states_after_an_early_exit_are_no_prefix_for_others(folder: Path, oracle: ExitOracle) -> None:
    """The conversation goes on with the answer in its prompt: what left early is computed again, by all layers."""
    stepped, plain = Stepped(folder), Stepped(folder, max_cached_tokens=0)
    first = stepped.submit(prompts(1, seed=9)[0], 40, exit_threshold=0.1)
    stepped.finish()
    assert first.exit_tokens > 0
    assert first.first_inexact is not None
    following = [*first.request.prompt, *tokens(first), 9, 10]
    second = stepped.submit(following, 8)
    stepped.finish()
    assert second.num_cached <= first.first_inexact
    assert tokens(second) == plain.generate(following, 8)


def test_int8_and_sampling_go_together_with_it(folder: Path, oracle: ExitOracle) -> None:
    sampling = Sampling(temperature=0.8, seed=3)
    answers = []
    for _ in range(2):
        stepped = Stepped(folder, quantisation="int8")
        sequence = stepped.submit(prompts(1, seed=10)[0], 20, sampling, exit_threshold=0.2)
        stepped.finish()
        answers.append(tokens(sequence))
        assert sequence.exit_tokens > 0
    assert answers[0] == answers[1]


def test_usage_and_the_span_say_how_many_tokens_left_early(folder: Path, oracle: ExitOracle) -> None:
    stepped = Stepped(folder)
    exiting, full = (stepped.submit(prompts(1, seed=11)[0], 20, exit_threshold=one) for one in (0.1, None))
    stepped.finish()
    assert exiting.exit_tokens > 0
    assert usage(exiting)["completion_tokens_details"] == {"early_exit_tokens": exiting.exit_tokens}
    assert "completion_tokens_details" not in usage(full)
    told = spans.of_sequence(exiting, 1.0)
    assert told["tokenjoule.early_exit.threshold"] == 0.1
    assert told["tokenjoule.early_exit.tokens"] == exiting.exit_tokens
    assert told["tokenjoule.early_exit.skipped"] == exiting.exit_skipped > 0
    assert not any("early_exit" in name for name in spans.of_sequence(full, 1.0))


def test_the_measures_of_confidence() -> None:
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0]]))
    assert exits.top_probability(logits).tolist() == pytest.approx([0.6, 0.5])
    assert exits.margin(logits).tolist() == pytest.approx([0.3, 0.0], abs=1e-6)


def test_without_a_head_it_is_refused_with_the_remedy(weights: Path) -> None:
    with pytest.raises(ModelNotSupported, match=re.escape("early_exit needs exits/model.safetensors")):
        Stepped(weights, early_exit=EarlyExit(threshold=0.9))
    stepped = Stepped(weights)
    with pytest.raises(Problem, match="early_exit"):
        stepped.intake.completion(CompletionBody(prompt="the", early_exit=0.9), "r1")
    assert stepped.intake.completion(CompletionBody(prompt="the", early_exit=1.1), "r1").exit_threshold is None


def test_a_request_may_choose_another_threshold_than_the_engines(folder: Path, oracle: ExitOracle) -> None:
    intake = Stepped(folder, early_exit=EarlyExit(threshold=0.9)).intake
    chosen = [
        intake.completion(CompletionBody(prompt="the", early_exit=one), "r").exit_threshold for one in (None, 0.5, 2)
    ]
    assert chosen == [0.9, 0.5, None]


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"exits.9.norm.weight": torch.ones(64)}, "after 9 layers"),
        ({"exits.1.norm.weight": torch.ones(32)}, "does not fit"),
        ({"exits.1.head.weight": torch.ones(64)}, "only exits.<layers>.norm.weight is"),
    ],
)
def test_heads_that_do_not_fit_are_refused(tensors: dict[str, torch.Tensor], reason: str, tmp_path: Path) -> None:
    random_llama.save(tmp_path)
    (tmp_path / "exits").mkdir()
    save_file(tensors, tmp_path / "exits" / "model.safetensors")
    with pytest.raises(ModelNotSupported, match=reason):
        Stepped(tmp_path)
