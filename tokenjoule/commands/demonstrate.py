"""``tokenjoule demo``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokenjoule.commands.options import DEMO_CONFIG, Config


def demo(
    config: Config = DEMO_CONFIG,
    seconds: Annotated[float, typer.Option(help="How long to load the stack.")] = 60.0,
    rate: Annotated[float, typer.Option(help="Requests per second, Poisson arrivals.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and prompts.")] = 7,
    dashboard: Annotated[bool, typer.Option(help="Start the dashboard and stay up until Ctrl-C.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
    directory: Annotated[Path | None, typer.Option(help="Where data and logs go; default var/demo-<time>.")] = None,
) -> None:
    """Start the whole stack on free ports, load it, and show what a successful token costs."""
    from tokenjoule.demo import Plan, run

    folder = directory or Path("var") / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    run(Plan(config, folder.resolve(), seconds, rate, seed, dashboard, json), Console())
