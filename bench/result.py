"""What every benchmark page gives: a table for people, and a JSON document with named figures."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Options:
    """``quick`` ends within a minute at a smaller, printed scale."""

    quick: bool
    json: Path | None


def options(description: str | None) -> Options:
    """Command-line options that every page understands."""
    return chosen(parser(description).parse_args())


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of them, to which a page may add its own; a page that is told to end ends what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller scale, within a minute")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def chosen(arguments: argparse.Namespace) -> Options:
    """Those of every page."""
    return Options(arguments.quick, arguments.json)


def publish(name: str, figures: Mapping[str, float | str | None], chosen: Options, note: str) -> None:
    """Print the table and, if asked, write ``{"name", "figures", "machine", "commit"}``."""
    table = Table("figure", "value", title=f"{name}: {note}", title_justify="left")
    for key, value in figures.items():
        table.add_row(key, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
    if chosen.json:
        document = {"name": name, "figures": dict(figures), "note": note, "machine": machine(), "commit": commit()}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def machine() -> str:
    """Processor, cores and Python, so that a figure is never without its machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    """The short commit hash, or ``unknown`` outside a checkout."""
    ended = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return ended.stdout.strip() or "unknown"
