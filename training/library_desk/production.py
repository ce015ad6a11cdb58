"""From nothing to a committed folder: expert first, scout distilled from it, both measured on held-out questions."""

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transformers import LlamaForCausalLM

from conventions.errors import TokenjouleError
from training.library_desk import evaluate, shape, tasks
from training.library_desk.exercise import MAX_ANSWER_TOKENS, Exercise
from training.library_desk.journal import Journal
from training.library_desk.learner import Learner, Loss
from training.library_desk.losses import Distillation, Labels
from training.library_desk.recipe import RECIPES, Budget, OptimizerName, Recipe
from training.track import Job, track

HELDOUT_SEED: Final = 20_26
_HELDOUT_ROWS: Final = 400
_FINAL_EXERCISES: Final = 1200

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What both runs share."""

    out: Path
    checkpoints: Path
    seed: int
    resume: bool = False
    warm_restart: bool = False
    continued: Path | None = None
    """Folder of finished models to train on, instead of random weights."""
    optimizer: OptimizerName = "muon"
    peak_lr: float | None = None
    """Instead of the recipe's."""
    mixed_precision: bool = True
    gradient_checkpointing: bool = False
    collector: str | None = None
    """Where the run reports its energy and progress to, ``http://host:port``."""

    @property
    def journal(self) -> Path:
        """The log that is shipped beside the weights."""
        return self.out / "training_log.jsonl"


def produce(name: str, plan: Plan, budget: Budget) -> None:
    """Train ``name``, save its folder, and write its held-out accuracy to the log."""
    plan.out.mkdir(parents=True, exist_ok=True)
    checkpoint = plan.checkpoints / f"{name}.pt"
    journal = Journal(plan.journal, name)
    learner = Learner(_model(name, plan), _loss(name, plan), _recipe(name, plan), budget, plan.seed, journal)
    if plan.resume and checkpoint.exists():
        learner.resume(checkpoint, plan.warm_restart)
    if plan.continued and learner.position.step == 0:
        journal.inherit(plan.continued / plan.journal.name)
    journal.forget_after(learner.position.step)
    logger.info("%s: %d parameters, from step %d", name, shape.num_parameters(learner.model), learner.position.step)
    with _tracked(name, plan, learner.position.job_id) as job:
        learner.position.job_id = job.job_id
        learner.run(checkpoint)
    shape.save(learner.model, plan.out / name)
    _write_result(name, plan, learner, journal)


def write_heldout(out: Path) -> None:
    """Write the held-out sample of the traffic mix that load tests ask from."""
    rows = [json.dumps(heldout_row(exercise)) for exercise in tasks.sample(HELDOUT_SEED, _HELDOUT_ROWS)]
    (out / "heldout.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def heldout_row(exercise: Exercise) -> dict[str, object]:
    """One exercise as a load generator reads it."""
    return {
        "messages": exercise.prompt, "answer": exercise.answer, "difficulty": exercise.difficulty,
        "family": exercise.family, "max_tokens": MAX_ANSWER_TOKENS,
    }  # fmt: skip


def _tracked(name: str, plan: Plan, job_id: str | None) -> Job:
    return track(
        f"train {name}", endpoint=plan.collector, job_id=job_id,
        precision="bf16" if plan.mixed_precision else "fp32", gradient_checkpointing=plan.gradient_checkpointing,
    )  # fmt: skip


def _model(name: str, plan: Plan) -> LlamaForCausalLM:
    if plan.continued is None:
        return shape.initialised(name, plan.seed)
    return shape.continued(name, plan.continued / name)


def _loss(name: str, plan: Plan) -> Loss:
    if name == "expert":
        return Labels()
    teacher = plan.out / "expert"
    if not (teacher / "config.json").exists():
        raise TokenjouleError(
            f"no expert in {teacher} for the scout to learn from: train it first, or leave out --only"
        )
    return Distillation(shape.load(teacher))


def _recipe(name: str, plan: Plan) -> Recipe:
    own, checkpointing = RECIPES[plan.optimizer][name], plan.gradient_checkpointing
    peak_lr = own.peak_lr if plan.peak_lr is None else plan.peak_lr
    return dataclasses.replace(
        own, peak_lr=peak_lr, mixed_precision=plan.mixed_precision, gradient_checkpointing=checkpointing
    )


def _write_result(name: str, plan: Plan, learner: Learner, journal: Journal) -> None:
    exercises = tasks.sample(HELDOUT_SEED, _FINAL_EXERCISES, easy_share=0.5)
    scores = evaluate.evaluate(plan.out / name, exercises)
    logger.info("%s on held-out questions:\n%s", name, evaluate.table(scores))
    early = {k: evaluate.evaluate(plan.out / name, exercises, depth=k) for k in shape.SHAPES[name].exits}
    at, parameters = learner.position, shape.num_parameters(learner.model)
    journal.write(
        step=at.step, seconds=at.seconds, tokens=at.num_tokens,
        parameters=parameters, train_flops_per_token=6 * parameters,
        heldout_seed=HELDOUT_SEED, heldout=_accuracies(scores),
        **{f"exit_{k}_heldout": _accuracies(own) for k, own in early.items()},
    )  # fmt: skip


def _accuracies(scores: dict[str, evaluate.Score]) -> dict[str, float]:
    return {cell: score.accuracy for cell, score in scores.items()}
