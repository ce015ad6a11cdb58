"""``tokenjoule calibrate``: how often a model is right when it is so sure, fitted on one split, checked on another."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from conventions import confidence
from conventions.errors import SettingsError
from tokenjoule import evaluation
from training.evaluation import asking, calibration, variant
from training.evaluation.asking import Answer
from training.evaluation.calibration import Judged
from training.evaluation.questions import Question, question

SEED = 1_000_003  # not validation's own: training stops early on that draw


@dataclass(frozen=True, slots=True)
class Plan:
    """Which variant, of one engine, is asked what. ``split`` says where the calibration questions are from."""

    variant: str
    models: Path
    questions: Sequence[Question]
    split: str
    held_out: Sequence[Question]
    directory: Path
    concurrency: int = 1


def drawn(count: int) -> list[Question]:
    """Calibration questions of the traffic mix, from the split that is neither trained on nor held out."""
    from training.library_desk import production, tasks

    return [question(production.heldout_row(one)) for one in tasks.sample(SEED, count, split="validation")]


def run(plan: Plan, console: Console) -> dict[str, Any]:
    """Fit, write ``confidence.json`` beside the weights, and say how it holds on the held-out questions."""
    if shared := {str(one.messages) for one in plan.questions} & {str(one.messages) for one in plan.held_out}:
        raise SettingsError(f"{len(shared)} questions are in both files: what is fitted must not judge itself")
    found = variant.load(plan.variant)
    if found.gateway or (why := found.missing(plan.models)):
        raise SettingsError(f"variant {plan.variant}: {'it has no one model' if found.gateway else why}")
    fitted_on, held_out = _asked(plan, found, console)
    weights = plan.models / found.model
    made = calibration.fit(fitted_on, found.model, weights, plan.split)
    path = weights / confidence.FILE
    path.write_text(json.dumps(dataclasses.asdict(made), indent=1) + "\n", encoding="utf-8")
    held = calibration.report(confidence.read(path), held_out)
    for arm in ("before", "after"):
        held[arm]["bins"] = [dataclasses.asdict(one) for one in held[arm]["bins"]]
    told = {name: getattr(made, name) for name in ("model", "feature", "split", "weights", "questions", "right")}
    return {"written": str(path), **told, "held_out": held}


def _asked(plan: Plan, found: variant.Variant, console: Console) -> tuple[list[Judged], list[Judged]]:
    questions = [*plan.questions, *plan.held_out]
    seat = evaluation.seat(Path(plan.variant).stem, found)
    with evaluation.serving(seat, plan.models, plan.directory) as server, evaluation.progress_on(console) as progress:
        task = progress.add_task(seat.name, total=len(questions))
        asked = dataclasses.replace(server, logprobs=True)
        answers = asking.ask(asked, questions, plan.concurrency, lambda: progress.advance(task))
    return _judged(answers[: len(plan.questions)]), _judged(answers[len(plan.questions) :])


def _judged(answers: Sequence[Answer]) -> list[Judged]:
    """Answers that came; one without odds means that the server does not say them."""
    came = [answer for answer in answers if answer.error is None]
    if not came or any(not answer.tokens for answer in came):
        raise SettingsError("the server gave no log-probabilities of its tokens; a calibration is made of them")
    return [Judged(tuple(answer.tokens), answer.is_right) for answer in came]
