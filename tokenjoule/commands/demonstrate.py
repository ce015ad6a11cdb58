"""``tokenjoule demo``."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokenjoule.commands.options import DEMO_CONFIG, Config, Rate, Seconds


def demo(
    config: Config = DEMO_CONFIG,
    seconds: Seconds = 60.0,
    rate: Rate = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of arrivals and prompts.")] = 7,
    dashboard: Annotated[bool, typer.Option(help="Start the dashboard and stay up until Ctrl-C.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.", dir_okay=False)] = None,
    directory: Annotated[Path | None, typer.Option(help="Where data and logs go; default var/demo-<time>.")] = None,
) -> None:
    """Start the whole stack on free ports, load it, and show what a successful token costs."""
    from conventions.errors import SettingsError
    from tokenjoule.demo import Plan, run

    if json and not json.resolve().parent.is_dir():
        raise SettingsError(f"--json {json}: there is no folder {json.resolve().parent}")

    folder = directory or Path("var") / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    run(Plan(config, folder.resolve(), seconds, rate, seed, dashboard, json), Console())
