"""Speculation changes speed only: greedy and seeded answers stay as they were, sampled ones keep their distribution."""

import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from conventions import plugins
from conventions.errors import SettingsError
from serving.engine.draft import REGISTRY, Ask, Target
from serving.engine.draft_length import DraftLength
from serving.engine.drafting import prompt_lookup
from serving.engine.request import Sampling
from serving.engine.sampling import Draw, verify
from tests.serving.engine import random_llama
from tests.serving.engine.stepped_engine import Stepped, tokens
from tests.serving.engine.transformers_oracle import Oracle

SHIPPED = Path(__file__).parents[3] / "serving" / "weights"
OPTIONS: dict[str, dict[str, Any]] = {
    "prompt_lookup": {},
    "draft_model": {"draft_weights": "draft"},
    "self_speculative": {"draft_layers": 1},
}
law = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama.save(tmp_path_factory.mktemp("target"), num_hidden_layers=3)


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Oracle:
    return Oracle(folder)


@pytest.fixture(params=plugins.names(REGISTRY))
def drafting(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of one drafter; the draft model is the target a little out of tune, so that it is often right."""
    found = {"drafting": request.param, "draft_length": 3, "draft_adapts": False, **OPTIONS[request.param]}
    if "draft_weights" in found:
        found["draft_weights"] = Path(shutil.copytree(folder, tmp_path_factory.mktemp("draft") / "model"))
        detune(found["draft_weights"] / "model.safetensors")
    return found


def detune(weights: Path) -> None:
    torch.manual_seed(5)
    tensors = load_file(weights)
    name = "model.layers.2.mlp.down_proj.weight"
    tensors[name] = tensors[name] + 0.15 * torch.randn_like(tensors[name])
    save_file(tensors, weights)


def mixed(count: int, seed: int) -> list[list[int]]:
    """Prompts of which every other one repeats itself, so that looking back finds something."""
    draw = Random(seed)
    prompts = [[1, *(draw.randrange(6, 200) for _ in range(draw.randrange(3, 60)))] for _ in range(count)]
    return [prompt * (1 + index % 2) for index, prompt in enumerate(prompts)]


def test_greedy_answers_equal_transformers(folder: Path, oracle: Oracle, drafting: dict[str, Any]) -> None:
    """Sixteen at once, of which some are cancelled: slots move, prompts are chunked, drafts of different length mix."""
    stepped = Stepped(folder, max_num_seqs=6, **drafting)
    sequences = []
    for index, prompt in enumerate(mixed(16, seed=1)):
        sequences.append(stepped.submit(prompt, 8 + 8 * index))
        doomed = stepped.submit(prompt[::-1], 20)
        for _ in range(3):
            stepped.step()
        stepped.engine.cancel(doomed.id)
    stepped.finish()
    for sequence in sequences:
        ours = tokens(sequence)
        expected = oracle.greedy(sequence.request.prompt, len(ours))
        assert ours == expected.tokens or expected.is_tie_at_first_difference(ours)
    counters = stepped.engine.counters
    assert counters.draft_proposed > counters.draft_accepted > 0
    assert counters.draft_proposed >= sum(one.draft_proposed for one in sequences) > 0


def test_a_seeded_answer_is_the_same_as_without_drafts(folder: Path, drafting: dict[str, Any]) -> None:
    plain, speculating = Stepped(folder), Stepped(folder, **drafting)
    for prompt in mixed(6, seed=2):
        sampling = Sampling(temperature=0.7, top_p=0.9, seed=len(prompt))
        assert speculating.generate(prompt, 20, sampling) == plain.generate(prompt, 20, sampling)


def test_the_shipped_expert_with_scout_as_its_draft_model() -> None:
    plain = Stepped(SHIPPED / "expert")
    drafted = Stepped(
        SHIPPED / "expert", drafting="draft_model", draft_weights=SHIPPED / "scout", draft_length=4, draft_adapts=False
    )
    texts = ("Sort from low to high: 4 1 7 9 3", "Ada borrows Odyssey on Tuesday for 6 days. Which day is it due?")
    for text in texts:
        prompt = plain.tokenizer.encode_chat([{"role": "user", "content": text}])
        answers = []
        for stepped in (plain, drafted):
            sequence = stepped.submit(prompt, 24, ignore_eos=False)
            stepped.finish()
            answers.append(tokens(sequence))
        assert answers[0] == answers[1]
    assert drafted.engine.counters.draft_accepted > 0


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_verified_tokens_have_the_distribution_of_the_target(top_p: float) -> None:
    """Pairs of tokens after drafts of every kind: chi-squared with 24 degrees of freedom at most."""
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(3)) * 1.5
    sampling = Sampling(temperature=0.9, top_p=top_p)
    expected = _distribution(logits, sampling)
    for draft in range(5):
        draw, counts, total = Draw(sampling, Random(draft)), Counter[tuple[int, ...]](), 6000
        for _ in range(total):
            said = [one.id for one in verify(logits, [draw], [[draft]])[0]]
            if len(said) == 1:  # the draft was not what the target draws: what follows comes from a later step
                assert said != [draft]
                said += [one.id for one in verify(logits[1:], [draw], [[]])[0]]
            counts[tuple(said)] += 1
        statistic = sum((counts[pair] - total * p) ** 2 / (total * p) for pair, p in expected.items())
        assert counts.keys() <= expected.keys()
        assert statistic < 58.6, "chance of this is 1 in 10,000 when the distributions are equal"


def _distribution(logits: torch.Tensor, sampling: Sampling) -> dict[tuple[int, int], float]:
    """Probability of each pair of tokens, computed apart from ``sampling``."""
    rows = []
    for row in torch.softmax(logits.double() / sampling.temperature, dim=-1):
        ordered, order = row.sort(descending=True)
        kept = ordered.cumsum(0) - ordered < sampling.top_p
        rows.append(
            {int(token): float(p / ordered[kept].sum()) for token, p in zip(order[kept], ordered[kept], strict=True)}
        )
    return {(one, two): p * q for one, p in rows[0].items() for two, q in rows[1].items()}


def test_acceptance_is_on_the_span_and_the_length_in_the_metrics(folder: Path) -> None:
    stepped = Stepped(folder, drafting="self_speculative", draft_layers=2, draft_length=2, draft_adapts=False)
    sequence = stepped.submit(range(6, 30), 30)
    stepped.finish()
    counters = stepped.engine.counters
    assert (sequence.draft_proposed, sequence.draft_accepted) == (counters.draft_proposed, counters.draft_accepted)
    assert counters.decode_tokens == 29 - sequence.draft_accepted + sequence.draft_proposed
    assert counters.steps == 1 + 29 - sequence.draft_accepted
    assert counters.draft_length == 2


@law
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 6))
def test_prompt_lookup_proposes_what_followed_the_same_tokens_before(seen: list[int], limit: int) -> None:
    (draft,) = prompt_lookup.Drafter(Target.__new__(Target)).propose([Ask(0, seen, limit)])
    assert len(draft) <= limit
    if draft:
        after = [at for at in range(2, len(seen)) if seen[at - 2 : at] == seen[-2:]]
        assert any(seen[at : at + limit] == draft for at in after)
    else:
        assert not any(seen[at - 2 : at] == seen[-2:] for at in range(2, len(seen)))


def rates(length: DraftLength, batch_size: int, cost: dict[int, float], steps: int = 400) -> Counter[int]:
    """What is chosen when a step with so many drafts takes so long per request and half of them are right."""
    chosen = Counter[int]()
    for step in range(steps):
        drafts = length.choose(batch_size)
        chosen[drafts] += step >= steps // 2
        length.observe(batch_size, drafts, batch_size * (1 + drafts // 2), cost[drafts])
    return chosen


def test_the_length_is_the_one_that_pays_and_none_where_none_does() -> None:
    length = DraftLength(4)
    assert rates(length, 1, {0: 1.0, 1: 1.1, 2: 1.2, 4: 1.4}).most_common(1)[0][0] == 4
    assert length.gain == pytest.approx(3 / 1.4, rel=0.01)
    assert rates(length, 32, {0: 1.0, 1: 1.9, 2: 2.9, 4: 4.9}).most_common(1)[0][0] == 0
    assert length.gain == 1.0
    assert length.choose(1) == 4, "each size of batch has its own"


def test_a_load_that_changes_is_noticed() -> None:
    length = DraftLength(2)
    rates(length, 8, {0: 1.0, 1: 1.1, 2: 1.2})
    assert rates(length, 8, {0: 1.0, 1: 3.0, 2: 3.0}).most_common(1)[0][0] == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"drafting": "draft_model"}, "needs draft_weights"),
        ({"drafting": "self_speculative", "draft_layers": 3}, "draft_layers from 1 to 2, got 3"),
    ],
)
def test_a_drafter_says_what_it_lacks(folder: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Stepped(folder, **options)


def test_a_draft_model_with_another_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    path = other / "tokenizer.json"
    path.write_text(path.read_text().replace('"<|user|>"', '"<|guest|>"'))
    with pytest.raises(SettingsError, match="its tokenizer differs"):
        Stepped(folder, drafting="draft_model", draft_weights=other)
