"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from tokenjoule.configuration import ROOT

DEMO_CONFIG = ROOT / "config" / "demo.toml"

Config = Annotated[Path, typer.Option("--config", "-c", help="TOML file; every section is one package.")]
StoreUrl = Annotated[
    str | None, typer.Option("--url", help="Where to read: http://host:port of a collector, or duckdb:///path.")
]
POSITIVE = 1e-3  # seconds, requests per second, hours
Seconds = Annotated[float, typer.Option(min=POSITIVE, help="How long to load, in seconds.")]
Rate = Annotated[float, typer.Option(min=POSITIVE, help="Requests per second, Poisson arrivals.")]
DataDirectory = Annotated[Path | None, typer.Option("--data", help="Data folder of a collector that is not running.")]


def store_url(url: str | None, data: Path | None) -> str:
    """The address to read from: ``--url``, else ``--data`` read-only, else the collector's default address."""
    if url:
        return url
    return f"duckdb://{data.resolve()}" if data else "http://127.0.0.1:4318"
