"""``tokenjoule doctor``: what this machine can measure and run, each line with its remedy."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from tokenjoule.commands.options import StoreUrl

EXTRAS = {"torch": "engine", "locust": "load", "streamlit": "dashboard", "codecarbon": "carbon", "vllm": "vllm"}


def doctor(
    url: StoreUrl = None,
    ingest: Annotated[
        bool, typer.Option("--ingest", help="Also list the emitters that the collector has seen.")
    ] = False,
    gpu_check: Annotated[
        Path | None, typer.Option(help="Only try the meters of NVIDIA boards; write a recording for 'replay' here.")
    ] = None,
    gpu_seconds: Annotated[float, typer.Option(min=1.0, help="How long --gpu-check records.")] = 300.0,
    gpu_load: Annotated[str | None, typer.Option(help="Command that loads the GPUs after 40 % of that time.")] = None,
) -> None:
    """Say what works here: Python, extras, energy probes, and with --ingest what the collector understood."""
    if gpu_check is not None:
        from tokenjoule.commands.gpu_check import check

        check(gpu_check, gpu_seconds, gpu_load)
        return
    console = Console()
    console.print(f"Python {sys.version.split()[0]}")
    for module, extra in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        remedy = (
            "" if found else f"pip install 'tokenjoule[{extra}]'" + (" in a venv of its own" if extra == "vllm" else "")
        )
        _line(console, found, module, remedy)
    _probes(console)
    if ingest:
        _emitters(console, url or "http://127.0.0.1:4318")


def _line(console: Console, good: bool, what: str, remedy: str) -> None:
    mark = "[green]✓[/]" if good else "[yellow]–[/]"
    console.print(f" {mark} {what:<16} {escape(remedy)}", highlight=False, soft_wrap=True)


def _probes(console: Console) -> None:
    from collector.sampling.hardware import load_probes, reading_cost_s
    from collector.sampling.sample import ProbeContext, ProbeUnavailable
    from conventions import plugins

    console.print("energy probes")
    for name, kind in load_probes([name for name in plugins.names("collector.probes") if name != "replay"]):
        try:
            probe = kind(ProbeContext())
        except ProbeUnavailable as why:
            _line(console, False, name, str(why))
        else:
            cost_s = reading_cost_s(probe)
            cost = f"; {cost_s * 1e3:.2g} ms of CPU a reading, {cost_s * 10:.2%} of a core at 10 Hz"
            _line(console, True, name, probe.description + cost)
            probe.close()


def _emitters(console: Console, url: str) -> None:
    from store import reading
    from tokenjoule.commands import emitters

    with reading.open(url) as reader:
        emitters.report(reader, console)
