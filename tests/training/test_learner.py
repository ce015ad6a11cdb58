"""A training run: it learns, it can be stopped and resumed to the same state, and packing changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from training.library_desk import batches, exits, losses, shape, tasks, vocabulary
from training.library_desk.journal import Journal
from training.library_desk.learner import Learner, next_mixture
from training.library_desk.losses import Distillation, Labels
from training.library_desk.recipe import OPTIMIZERS, RECIPES, Budget, OptimizerName

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def _learner(folder: Path, steps: int, optimizer: OptimizerName = "adamw") -> Learner:
    model = shape.initialised("scout", seed=5)
    recipe = replace(
        RECIPES[optimizer]["scout"], batch_tokens=512, pool_exercises=96, validate_every_pools=1,
        validation_exercises=24, warmup_share=0.1, mixed_precision=False,
    )  # fmt: skip
    return Learner(model, Labels(), recipe, Budget(steps=steps), 5, Journal(folder / "log.jsonl", "scout"))


@every_optimizer
def test_a_few_steps_lower_the_loss(tmp_path: Path, optimizer: OptimizerName) -> None:
    learner, seen = (
        _learner(tmp_path, 25, optimizer),
        batches.pool(vocabulary.build(), 9, 0, tasks.traffic_mix(), 64, 2048)[0],
    )
    before = Labels()(learner.model, seen).item()
    learner.run(tmp_path / "scout.pt")
    assert Labels()(learner.model, seen).item() < before - 1.0


@every_optimizer
def test_a_stopped_and_resumed_run_ends_in_the_same_state(tmp_path: Path, optimizer: OptimizerName) -> None:
    straight, first, second = (_learner(tmp_path, 14, optimizer) for _ in range(3))
    straight.run(tmp_path / "straight.pt")
    _stop_after(first, 8, tmp_path / "stopped.pt")
    second.resume(tmp_path / "stopped.pt")
    second.run(tmp_path / "resumed.pt")
    assert second.position.step == straight.position.step == 14
    assert second.position.mixture == straight.position.mixture
    for mine, theirs in zip(second.model.parameters(), straight.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def _stop_after(learner: Learner, steps: int, checkpoint: Path) -> None:
    """Stop as a killed process does: between two steps, the budget not used up."""
    for batch in learner._stream():
        learner._step(batch)
        if learner.position.step == steps:
            return learner.save(checkpoint)


def test_validations_are_written_to_the_log(tmp_path: Path) -> None:
    _learner(tmp_path, steps=12).run(tmp_path / "scout.pt")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(row["model"] == "scout" for row in rows)
    assert any("state/easy" in row["validation"] for row in rows if "validation" in row)


def test_a_resumed_log_forgets_what_was_not_kept(tmp_path: Path) -> None:
    mine, other = (Journal(tmp_path / "log.jsonl", name) for name in ("scout", "expert"))
    for step in (50, 100, 150):
        mine.write(step=step, loss=1.0)
    mine.write(step=100, heldout={"all/easy": 0.5})
    other.write(step=900, loss=1.0)
    mine.forget_after(100)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["model"], row["step"]) for row in rows] == [("scout", 50), ("scout", 100), ("expert", 900)]


def test_the_log_of_a_model_that_is_trained_on_keeps_what_came_before_apart(tmp_path: Path) -> None:
    mine, other = (Journal(tmp_path / "log.jsonl", name) for name in ("scout", "expert"))
    mine.write(step=50, loss=2.0)
    other.write(step=70, loss=3.0)
    for _ in range(2):  # a second try takes the place of the first
        mine.inherit(tmp_path / "log.jsonl")
        mine.forget_after(0)
        mine.write(step=50, loss=1.0)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["model"], row["loss"]) for row in rows[-2:]] == [("scout, before", 1.0), ("scout", 1.0)]
    assert [row["model"] for row in rows].count("scout, before") == 1


def test_a_saved_model_is_trained_on_from_its_own_answers(tmp_path: Path) -> None:
    batch = batches.packed(vocabulary.build(), tasks.sample(5, 8), 1024)[0]
    shape.save(shape.initialised("expert", seed=2), tmp_path)
    (tmp_path / exits.FILE).unlink()
    going_on = shape.continued("expert", tmp_path)
    assert set(exits.attached(going_on)) == set(shape.SHAPES["expert"].exits)
    saved, _ = losses.answer_logits(shape.load(tmp_path), batch)
    torch.testing.assert_close(losses.answer_logits(going_on, batch)[0], saved)


def test_packing_gives_the_logits_of_each_exercise_alone() -> None:
    model = shape.initialised("scout", seed=1)
    pairs = vocabulary.encode(vocabulary.build(), tasks.sample(3, 2))
    together, _ = losses.answer_logits(model, batches.stacked([[[pair] for pair in pairs]]))
    alone = [losses.answer_logits(model, batches.stacked([[[pair]]]))[0] for pair in pairs]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_no_exercise_is_lost_by_packing() -> None:
    drawn = tasks.sample(4, 200)
    packed = batches.packed(vocabulary.build(), drawn, 1024)
    assert sum(int((batch.positions == 1).sum()) for batch in packed) == 200
    used = sum(int((batch.ids != vocabulary.PAD_ID).sum()) for batch in packed)
    assert used / sum(batch.num_tokens for batch in packed) > 0.75


def test_distillation_from_itself_costs_only_the_labels() -> None:
    model = shape.initialised("scout", seed=2)
    batch = batches.packed(vocabulary.build(), tasks.sample(5, 8), 1024)[0]
    whole = Labels()(model, batch).item()
    assert Distillation(model, share=0.5)(model, batch).item() == pytest.approx(0.5 * whole, rel=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    batch = batches.packed(vocabulary.build(), tasks.sample(5, 8), 1024)[0]
    plain, saving = shape.initialised("scout", seed=2), shape.initialised("scout", seed=2)
    saving.activation_checkpointing_enable()
    for model in (plain, saving):
        model.train()
        Labels()(model, batch).backward()
    torch.testing.assert_close(_gradient(saving), _gradient(plain))


def _gradient(model: LlamaForCausalLM) -> torch.Tensor:
    gradient = model.model.layers[0].self_attn.q_proj.weight.grad
    assert gradient is not None
    return gradient


def test_a_hard_level_waits_for_its_easy_level() -> None:
    early = next_mixture({("state", "easy"): 0.1, ("state", "hard"): 0.0})
    later = next_mixture({("state", "easy"): 1.0, ("state", "hard"): 0.0})
    assert early["state", "hard"] < early["state", "easy"]
    assert later["state", "hard"] > later["state", "easy"] > 0.0


@pytest.mark.parametrize(("steps", "seconds", "progress"), [(5, 0.0, 0.5), (0, 30.0, 0.5), (10, 0.0, 1.0)])
def test_a_budget_ends_by_steps_or_by_seconds(steps: int, seconds: float, progress: float) -> None:
    assert Budget(steps=10, seconds=60.0).progress(steps, seconds) == progress


def test_the_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    recipe = replace(RECIPES["adamw"]["scout"], warmup_share=0.1)
    rates = [recipe.learning_rate(done / 10) for done in range(11)]
    assert rates[0] < rates[1] == pytest.approx(recipe.peak_lr)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(recipe.floor_lr)
