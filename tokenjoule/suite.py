"""The small suite: the same load against two batching policies and against two routings, one collector throughout.

Arms of a pair run A B B A, so that slow drift of a shared machine does not favour one side; every run replays the
identical schedule and prompts (one seed).
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from conventions import plugins
from conventions.errors import PluginError, TokenjouleError
from tokenjoule import configuration, stack
from tokenjoule.demo import settle

SERVING = frozenset({"engine", "gateway"})


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison: the settings that make it different."""

    name: str
    overrides: Mapping[str, Any]


def _batching(policy: str) -> Arm:
    keys = [f"serving.engines.{engine}.batching" for engine in ("scout", "expert")]
    return Arm(policy, dict.fromkeys(keys, policy))


def _routing(policy: str) -> Arm:
    return Arm(policy, {"serving.gateway.policy": policy})


SUITES: dict[str, tuple[Arm, Arm]] = {
    "batching": (_batching("none"), _batching("continuous")),
    "routing": (_routing("round_robin"), _routing("complexity")),
}


def run(name: str, config: Path, seconds: float, rate: float, pairs: int, seed: int, console: Console) -> None:
    """Run one suite or ``all`` and print its tables. Raises ``PluginError`` for an unknown name."""
    if name != "all" and name not in SUITES:
        raise PluginError(plugins.unknown("suite", name, ["all", *SUITES]))
    chosen = list(SUITES) if name == "all" else [name]
    directory = (Path("var") / f"compare-{datetime.now(UTC):%Y%m%dT%H%M%S}").resolve()
    base = configuration.derive(
        config,
        directory,
        free_ports=True,
        overrides={"collector.data": str(directory / "data"), "serving.gateway.cache": "none"},
    )
    with stack.Stack(directory / "logs") as processes:
        collector = processes.start(stack.specs(base, only=frozenset({"collector"})))["collector"]
        for suite in chosen:
            runs = [
                _run_arm(arm, base, collector, seconds, rate, seed, console) for arm in _order(SUITES[suite], pairs)
            ]
            _print(f"{suite}: {rate:g} requests/s for {seconds:g} s, same schedule", collector, runs, console)
    console.print(f"every request of every run: tokenjoule query --data {directory / 'data'} 'FROM requests'")


def _order(arms: tuple[Arm, Arm], pairs: int) -> list[Arm]:
    first, second = arms
    return [arm for pair in range(pairs) for arm in ((first, second) if pair % 2 == 0 else (second, first))]


def _run_arm(arm: Arm, base: Path, collector: str, seconds: float, rate: float, seed: int, console: Console) -> str:
    """Start the serving side with the arm's settings, load it, stop it; returns the run id."""
    directory = base.parent / arm.name
    config = configuration.derive(base, directory, free_ports=False, overrides=arm.overrides)
    with stack.Stack(directory / "logs") as processes:
        with console.status(f"{arm.name}: starting engines and gateway"):
            urls = processes.start_in_order(stack.specs(config, only=SERVING))
        console.print(f"[bold]{arm.name}[/]")
        loaded = _load(arm, urls["gateway"], collector, seconds, rate, seed, directory)
    settle(collector)
    return str(loaded["run_id"])


def _load(
    arm: Arm, gateway: str, collector: str, seconds: float, rate: float, seed: int, directory: Path
) -> dict[str, Any]:
    path = directory / "load.json"
    command = [
        *(sys.executable, "-m", "loadgen", "run", "steady_chat", "--target", gateway, "--collector", collector),
        *("--seconds", str(seconds), "--rate", str(rate), "--seed", str(seed), "--arm", arm.name),
        *("--keys", "demo-reading-room,demo-archive", "--json", str(path)),
    ]
    if subprocess.run(command, check=False).returncode != 0:
        raise TokenjouleError(f"the load against {arm.name} failed; see its output above")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _print(title: str, collector: str, run_ids: Sequence[str], console: Console) -> None:
    from analytics.reports import arms
    from store import reading

    with reading.open(collector) as reader:
        console.print(arms.render(title, arms.by_arm(reader, run_ids)))
