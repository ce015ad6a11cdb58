"""The main job in one go: start the stack, measure its idle power, load it, settle, and show what a token cost."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from conventions.errors import TokenjouleError
from tokenjoule import configuration, stack

IDLE_S = 8.0  # models resident, nothing running: the idle power that the ledger subtracts is measured here
FLUSH_S = 3.0  # exporters of processes that go on running flush within two seconds
SETTLE_TIMEOUT_S = 120.0
KEYS = ("demo-reading-room", "demo-archive")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demo does. ``rate`` is requests per second of open-loop Poisson arrivals."""

    config: Path
    directory: Path
    seconds: float = 60.0
    rate: float = 10.0
    seed: int = 7
    dashboard: bool = True
    result: Path | None = None


def run(plan: Plan, console: Console) -> dict[str, Any]:
    """Run the demo and return what ``--json`` writes. The stack is stopped before this returns."""
    config = configuration.derive(
        plan.config, plan.directory, free_ports=True, overrides={"collector.data": str(plan.directory / "data")}
    )
    with stack.Stack(plan.directory / "logs") as processes:
        urls = start_all(processes, config, plan.dashboard, console)
        with console.status(f"measuring idle power for {IDLE_S:.0f} s: models resident, nothing running"):
            time.sleep(IDLE_S)
        client = load(urls, plan, console)
        with console.status("settling: joining traces and energy per request"):
            settle(urls["collector"])
        result = outcome(urls["collector"], client)
        report(result, console)
        if plan.result:
            plan.result.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
            console.print(f"figures written to {plan.result}")
        if plan.dashboard:
            linger(urls["dashboard"], console)
    return result


def start_all(processes: stack.Stack, config: Path, dashboard: bool, console: Console) -> dict[str, str]:
    """Start every process of ``config`` and print its address."""
    specs = stack.specs(config, dashboard=dashboard)
    with console.status("starting the collector, the engines and the gateway"):
        urls = processes.start_in_order(specs)
    for name, url in urls.items():
        console.print(f"  [green]●[/] {name:<14} {url}")
    return urls


def load(urls: Mapping[str, str], plan: Plan, console: Console) -> dict[str, Any]:
    """The scenario ``steady_chat`` in a process of its own (gevent stays there); returns its JSON."""
    path = plan.directory / "load.json"
    command = [
        *(sys.executable, "-m", "loadgen", "run", "steady_chat"),
        *("--target", urls["gateway"], "--collector", urls["collector"]),
        *("--seconds", str(plan.seconds), "--rate", str(plan.rate), "--seed", str(plan.seed)),
        *("--keys", ",".join(KEYS), "--json", str(path)),
    ]
    console.print(f"loading the gateway: {plan.rate:g} requests/s (Poisson) for {plan.seconds:g} s")
    ended = subprocess.run(command, check=False)
    if ended.returncode != 0 or not path.exists():
        raise TokenjouleError(f"the load client ended with code {ended.returncode}; see its output above")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def settle(collector: str, flush_s: float = FLUSH_S) -> None:
    """Wait ``flush_s`` for what running processes have yet to send, then until all of it is settled."""
    time.sleep(flush_s)
    request = urllib.request.Request(f"{collector}/v1/settle", data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=SETTLE_TIMEOUT_S) as answer:
        answer.read()


def outcome(collector: str, client: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the run, read back from the store as any user would."""
    from analytics.reports import demonstration  # heavy imports only when there is something to report
    from store import reading

    with reading.open(collector) as reader:
        return {"client": dict(client), **demonstration.figures(reader, str(client["run_id"]))}


def report(result: Mapping[str, Any], console: Console) -> None:
    """Print the five numbers and the energy balance."""
    from analytics.reports import demonstration

    console.print()
    console.print(demonstration.render(result))


def linger(url: str, console: Console) -> None:
    """Keep the stack up until Ctrl-C, for a look at the dashboard."""
    console.print(f"\ndashboard: [bold]{url}[/]   (Ctrl-C stops everything)")
    try:
        while True:
            time.sleep(1.0)
    except KeyboardInterrupt:
        console.print("stopping")
