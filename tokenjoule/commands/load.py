"""``tokenjoule load`` and ``compare``: the load client in a process of its own, because it needs gevent's patches."""

import subprocess
import sys
from typing import Annotated

import typer
from rich.console import Console

from tokenjoule.commands.options import DEMO_CONFIG, Config, Rate, Seconds

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def load(
    scenario: Annotated[str, typer.Argument(help="steady_chat, trace_replay, …: a file of loadgen/scenarios.")],
    context: typer.Context,
    target: Annotated[str, typer.Option(help="OpenAI-compatible address to load.")] = "http://127.0.0.1:8080",
    collector: Annotated[str, typer.Option(help="Where the client's spans and the run go.")] = "http://127.0.0.1:4318",
) -> None:
    """Load a gateway; further options belong to the scenario (tokenjoule load SCENARIO --help lists them)."""
    command = [sys.executable, "-m", "loadgen", "run", scenario, "--target", target, "--collector", collector]
    raise typer.Exit(subprocess.run([*command, *context.args], check=False).returncode)


def compare(
    suite: Annotated[str, typer.Argument(help="batching, routing or all.")] = "all",
    config: Config = DEMO_CONFIG,
    seconds: Seconds = 20.0,
    rate: Rate = 20.0,
    pairs: Annotated[int, typer.Option(min=1, help="Runs per arm; even numbers give the order A B B A.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the schedule and prompts, the same for every run.")] = 11,
) -> None:
    """Run the same load against two batching and two routing policies and print the tables."""
    from tokenjoule.suite import run

    run(suite, config, seconds, rate, pairs, seed, Console())
