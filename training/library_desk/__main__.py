"""``python -m training.library_desk``: train the shipped models, evaluate them, write the held-out sample."""

import argparse
import json
import sys
from pathlib import Path

import torch

from conventions import logs
from conventions.errors import TokenjouleError
from training.library_desk import evaluate, production, tasks
from training.library_desk.recipe import OPTIMIZERS, Budget


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is the process's."""
    arguments = _parser().parse_args(argv)
    logs.configure()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    commands = {"train": _train, "evaluate": _evaluate, "sample": _sample}
    try:
        commands[arguments.command](arguments)
    except TokenjouleError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.library_desk", description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of torch (default: torch's own choice)")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands.add_parser("train", help="train the expert, then distil the scout from it"))
    _add_evaluate(commands.add_parser("evaluate", help="exact-match accuracy on held-out questions"))
    _add_sample(commands.add_parser("sample", help="print held-out exercises as JSON lines"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("serving/weights"))
    parser.add_argument("--checkpoints", type=Path, default=Path("var/training"))
    parser.add_argument("--only", choices=("expert", "scout"), help="train one of the two")
    for model, minutes in (("expert", 40.0), ("scout", 25.0)):
        parser.add_argument(
            f"--minutes-{model}", type=float, default=minutes, help="training time, resumed time included"
        )
        parser.add_argument(f"--steps-{model}", type=int, help="repeatable budget; replaces the minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "--warm-restart", action="store_true", help="with --resume: a new schedule and budget from there"
    )
    parser.add_argument("--continue-from", type=Path, metavar="FOLDER", help="finished models to train on")
    parser.add_argument("--peak-lr", type=float, help="instead of the recipe's")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="muon", help="the shipped weights are Muon's")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="less memory, about a third slower")
    parser.add_argument(
        "--collector", metavar="URL", help="report joules and progress there (default: OTEL_EXPORTER_OTLP_ENDPOINT)"
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=production.HELDOUT_SEED)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--easy-share", type=float, default=0.5)
    parser.add_argument("--exit", type=int, help="answer after so many layers, by the exit head there")


def _add_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=production.HELDOUT_SEED)
    parser.add_argument("--samples", type=int, default=400)


def _train(arguments: argparse.Namespace) -> None:
    order = [arguments.only] if arguments.only else ["expert", "scout"]
    plan = production.Plan(
        out=arguments.out, checkpoints=arguments.checkpoints, seed=arguments.seed, resume=arguments.resume,
        warm_restart=arguments.warm_restart, optimizer=arguments.optimizer,
        mixed_precision=arguments.precision == "bf16", gradient_checkpointing=arguments.gradient_checkpointing,
        collector=arguments.collector, continued=arguments.continue_from, peak_lr=arguments.peak_lr,
    )  # fmt: skip
    for name in order:
        production.produce(name, plan, _budget(arguments, name))
    production.write_heldout(arguments.out)


def _budget(arguments: argparse.Namespace, name: str) -> Budget:
    steps: int | None = getattr(arguments, f"steps_{name}")
    minutes: float = getattr(arguments, f"minutes_{name}")
    return Budget(steps=steps) if steps is not None else Budget(seconds=60.0 * minutes)


def _evaluate(arguments: argparse.Namespace) -> None:
    exercises = tasks.sample(arguments.seed, arguments.samples, arguments.easy_share)
    sys.stdout.write(evaluate.table(evaluate.evaluate(arguments.weights, exercises, arguments.exit)) + "\n")


def _sample(arguments: argparse.Namespace) -> None:
    for exercise in tasks.sample(arguments.seed, arguments.samples):
        sys.stdout.write(json.dumps(production.heldout_row(exercise)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
