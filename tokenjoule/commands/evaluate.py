"""``tokenjoule evaluate`` and ``calibrate``: what every way to serve the models costs and knows, and how sure it is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokenjoule.commands.options import DEMO_CONFIG, Config
from tokenjoule.configuration import ROOT

MODELS = ROOT / "serving" / "weights"

Models = Annotated[Path, typer.Option(help="Folder of the models: one Hugging Face folder each.", file_okay=False)]
Questions = Annotated[
    Path | None,
    typer.Option(help="JSON lines with messages, answer, difficulty, max_tokens; default MODELS/heldout.jsonl."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Ask the first so many questions only.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests open at a time.")]
Directory = Annotated[Path | None, typer.Option(help="Where data and logs go; default var/evaluate-<time>.")]


def evaluate(
    config: Config = DEMO_CONFIG,
    models: Models = MODELS,
    variants: Annotated[str, typer.Option(help="Names or TOML files, by comma; default every one there is.")] = "",
    questions: Questions = None,
    limit: Limit = None,
    concurrency: Concurrency = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that the variants take, each with a part of them.")] = 4,
    deployment: Annotated[Path | None, typer.Option(help="TOML with the goal; default the shipped one.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write the sheet here as Markdown.", dir_okay=False)] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.", dir_okay=False)] = None,
    directory: Directory = None,
) -> None:
    """Ask every variant the held-out questions: exact answers, latency, joules; is the deployment right-sized?"""
    from json import dumps

    from analytics.reports import deployment as report
    from tokenjoule.evaluation import Plan, run
    from training.evaluation import questions as held_out

    for option, path in (("--sheet", sheet), ("--json", json)):
        _require_folder(option, path)
    source = questions or models / "heldout.jsonl"
    asked = held_out.read(source, limit)
    folder = directory or Path("var") / f"evaluate-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    names = [name.strip() for name in variants.split(",") if name.strip()]
    console = Console()
    document = run(
        Plan(
            config=config, models=models.resolve(), questions=asked, source=_shown(source), directory=folder.resolve(),
            variants=names, concurrency=concurrency, rounds=rounds, deployment=deployment,
        ),
        console,
    )  # fmt: skip
    console.print(report.table(document))
    if sheet:
        sheet.write_text(report.markdown(document), encoding="utf-8")
    if json:
        json.write_text(dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def calibrate(
    variant: Annotated[str, typer.Option(help="A variant of one model, by name or TOML file.")] = "scout",
    models: Models = MODELS,
    questions: Annotated[
        Path | None, typer.Option(help="JSON lines to fit on; default: drawn from the desk's validation split.")
    ] = None,
    count: Annotated[int, typer.Option(min=10, help="How many are drawn.")] = 2000,
    held_out: Questions = None,
    limit: Limit = None,
    concurrency: Concurrency = 1,
    diagram: Annotated[Path | None, typer.Option(help="Reliability diagram, .svg or .png.", dir_okay=False)] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write the figures here as Markdown.", dir_okay=False)] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.", dir_okay=False)] = None,
    directory: Directory = None,
) -> None:
    """Fit how often a model is right when it is so sure, for the routing policy cascade; writes confidence.json."""
    from json import dumps
    from os.path import relpath

    from analytics.reports import reliability
    from tokenjoule.calibration import Plan, drawn, run
    from training.evaluation import questions as files

    for option, path in (("--diagram", diagram), ("--sheet", sheet), ("--json", json)):
        _require_folder(option, path)
    if diagram:
        reliability.require_drawable(diagram)
    checked = files.read(held_out or models / "heldout.jsonl", limit)
    fitted = files.read(questions) if questions else drawn(count)
    split = _shown(questions) if questions else "the library desk's validation split"
    folder = directory or Path("var") / f"calibrate-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    console = Console()
    document = run(
        Plan(variant, models.resolve(), fitted, split, checked, folder.resolve(), concurrency),
        console,
    )
    console.print(reliability.table(document))
    if diagram:
        reliability.save(document["held_out"], diagram)
    if sheet:
        beside = relpath(diagram, sheet.parent) if diagram else None
        sheet.write_text(reliability.markdown(document, beside), encoding="utf-8")
    if json:
        json.write_text(dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _require_folder(option: str, path: Path | None) -> None:
    from conventions.errors import SettingsError

    if path and not path.resolve().parent.is_dir():
        raise SettingsError(f"{option} {path}: there is no folder {path.resolve().parent}")


def _shown(path: Path) -> str:
    """Relative to the checkout where it lies in it."""
    absolute = path.resolve()
    return str(absolute.relative_to(ROOT)) if absolute.is_relative_to(ROOT) else path.name
