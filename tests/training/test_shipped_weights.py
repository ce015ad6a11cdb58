"""The committed folders: they load with stock transformers and answer what they were made to answer."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from loadgen import prompts
from training.library_desk import evaluate, production, shape, tasks
from training.library_desk.exercise import split_of

WEIGHTS = Path(__file__).parents[2] / "serving" / "weights"


@pytest.mark.parametrize(("name", "least", "most"), [("scout", 300_000, 1_000_000), ("expert", 3_000_000, 10_000_000)])
def test_a_folder_loads_with_transformers_at_its_stated_size(name: str, least: int, most: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / name)
    assert model.dtype == torch.bfloat16
    assert least < sum(parameter.numel() for parameter in model.parameters()) < most
    assert json.loads((WEIGHTS / name / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_both_models_share_one_tokenizer() -> None:
    scout, expert = (AutoTokenizer.from_pretrained(WEIGHTS / name) for name in ("scout", "expert"))
    assert scout.get_vocab() == expert.get_vocab()
    assert scout.chat_template == expert.chat_template


@pytest.mark.parametrize(("name", "least"), [("scout", 0.95), ("expert", 0.97)])
def test_a_shipped_model_answers_easy_heldout_questions(name: str, least: float) -> None:
    easy = tasks.sample(seed=4711, n=40, easy_share=1.0)
    assert evaluate.evaluate(WEIGHTS / name, easy)["all/easy"].accuracy >= least


def test_the_expert_answers_hard_questions_and_the_scout_clearly_fewer() -> None:
    hard = tasks.sample(seed=4711, n=240, easy_share=0.0)
    scout, expert = (evaluate.evaluate(WEIGHTS / name, hard)["all/hard"].accuracy for name in ("scout", "expert"))
    assert expert >= 0.8
    assert expert > scout + 0.06


@pytest.mark.parametrize("depth", shape.SHAPES["expert"].exits)
def test_every_exit_of_the_expert_answers_easy_heldout_questions(depth: int) -> None:
    easy = tasks.sample(seed=4711, n=40, easy_share=1.0)
    assert evaluate.evaluate(WEIGHTS / "expert", easy, depth)["all/easy"].accuracy >= 0.95


def test_the_heldout_file_is_what_the_generator_gives_and_was_never_trained_on() -> None:
    rows = [json.loads(line) for line in (WEIGHTS / "heldout.jsonl").read_text().splitlines()]
    assert rows == [production.heldout_row(one) for one in tasks.sample(production.HELDOUT_SEED, 400)]
    assert all(split_of(row["messages"][-1]["content"]) == "heldout" for row in rows)
    assert {row["family"] for row in rows} == set(tasks.families())


def test_the_load_client_asks_the_same_held_out_questions() -> None:
    assert prompts.LIBRARY_DESK.read_bytes() == (WEIGHTS / "heldout.jsonl").read_bytes()


def test_the_committed_weights_stay_within_their_budget() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*.safetensors")) < 25_000_000
