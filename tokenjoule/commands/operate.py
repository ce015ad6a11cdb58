"""``tokenjoule up``, ``serve`` and ``collect``: processes that stay."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from conventions.errors import SettingsError
from tokenjoule import configuration, stack
from tokenjoule.commands.options import DEMO_CONFIG, Config

MAX_PORT = 65_535
FreePorts = Annotated[bool, typer.Option("--free-ports", help="Move every port to a free one.")]


def up(config: Config = DEMO_CONFIG, free_ports: FreePorts = False) -> None:
    """Start collector, engines, gateway and dashboard, and watch over them until Ctrl-C."""
    _stay(config, free_ports, None)


def serve(config: Config = DEMO_CONFIG, free_ports: FreePorts = False) -> None:
    """Start the engines and the gateway only; they send OTLP to the address in the configuration."""
    _stay(config, free_ports, frozenset({"engine", "gateway"}))


def collect(
    data: Annotated[Path, typer.Option(help="Data folder; made if missing, owned by this process.")],
    http: Annotated[str, typer.Option(help="HOST:PORT for OTLP/HTTP, queries and records.")] = "127.0.0.1:4318",
    grpc: Annotated[str | None, typer.Option(help="HOST:PORT for OTLP/gRPC, such as 127.0.0.1:4317; else off.")] = None,
    backups: Annotated[Path | None, typer.Option(help="Folder below which `tokenjoule backup` may write.")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Further settings: its [collector].")] = None,
) -> None:
    """Run a collector: OTLP in, DuckDB behind, queries out."""
    import dataclasses

    from collector.__main__ import run_collector
    from collector.settings import CollectorSettings, GrpcSettings
    from conventions import logs, settings

    host, port = _address("--http", http)
    base = settings.section(config, "collector", CollectorSettings) if config else CollectorSettings(data=data)
    if grpc is not None:
        base = dataclasses.replace(base, grpc=GrpcSettings(*_address("--grpc", grpc)))
    if backups is not None:
        base = dataclasses.replace(base, backups=backups)
    logs.configure()
    run_collector(dataclasses.replace(base, data=data, host=host, port=port))


def _address(flag: str, given: str) -> tuple[str, int]:
    host, _, port = given.rpartition(":")
    if not host or not port.isdigit() or int(port) > MAX_PORT:
        raise SettingsError(
            f"{flag} {given!r}: expected HOST:PORT, such as 127.0.0.1:4318, the port at most {MAX_PORT}"
        )
    return host.strip("[]"), int(port)


def _stay(config: Path, free_ports: bool, only: frozenset[str] | None) -> None:
    console = Console()
    directory = Path("var") / "up"
    derived = configuration.derive(config, directory, free_ports=free_ports)
    specs = stack.specs(derived, only=only)
    if not specs:
        raise SettingsError(f"{config}: nothing to start in it, such as [collector] or [serving.gateway]")
    with stack.Stack(directory / "logs") as processes:
        urls = processes.start_in_order(specs)
        for name, url in urls.items():
            console.print(f"  [green]●[/] {name:<14} {url}")
        console.print(f"logs in {directory / 'logs'}; Ctrl-C stops everything")
        _watch(processes, console)


def _watch(processes: stack.Stack, console: Console) -> None:
    try:
        while not (dead := processes.dead()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("stopping")
        return
    for running in dead:
        console.print(f"[red]{running.spec.name} ended[/] with code {running.process.returncode}: see {running.log}")
    raise typer.Exit(1)
