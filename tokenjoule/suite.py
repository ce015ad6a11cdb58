"""The small suite: the same load against two batching policies and against two routings, one collector throughout.

``loadgen.experiment`` gives order, seeds and runs; here the serving side of each arm is put on before its run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from conventions import plugins, settings
from conventions.errors import PluginError, SettingsError
from loadgen import experiment
from loadgen.summary import RunResult
from tokenjoule import configuration, stack
from tokenjoule.demo import KEYS, settle

SERVING = frozenset({"engine", "gateway"})


@dataclass(frozen=True, slots=True)
class Variant:
    """One side of a comparison: the settings of every engine and of the gateway that make it different."""

    name: str
    engine: Mapping[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, Any] = field(default_factory=dict)

    def overrides(self, base: Path) -> dict[str, Any]:
        """Dotted settings over the file ``base``. Raises ``SettingsError`` where it has no engine to change."""
        engines = settings.read(base).get("serving", {}).get("engines", {})
        if self.engine and not engines:
            raise SettingsError(
                f"{base}: {self.name} is a setting of our own engines, and it has no [serving.engines.*]"
            )
        of_engines = {f"serving.engines.{name}.{key}": value for name in engines for key, value in self.engine.items()}
        return of_engines | {f"serving.gateway.{key}": value for key, value in self.gateway.items()}


SUITES: dict[str, tuple[Variant, Variant]] = {
    "batching": (
        Variant("none", engine={"batching": "none"}),
        Variant("continuous", engine={"batching": "continuous"}),
    ),
    "routing": (
        Variant("round_robin", gateway={"policy": "round_robin"}),
        Variant("complexity", gateway={"policy": "complexity"}),
    ),
}


def run(name: str, config: Path, seconds: float, rate: float, pairs: int, seed: int, console: Console) -> None:
    """Run one suite or ``all`` and print its tables. Raises ``PluginError`` for an unknown name."""
    if name != "all" and name not in SUITES:
        raise PluginError(plugins.unknown("suite", name, ["all", *SUITES]))
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    directory = (Path("var") / f"compare-{stamp}").resolve()
    base = configuration.derive(
        config,
        directory,
        free_ports=True,
        overrides={"collector.data": str(directory / "data"), "serving.gateway.cache": "none"},
    )
    with stack.Stack(directory / "logs") as processes:
        collector = processes.start(stack.specs(base, only=frozenset({"collector"})))["collector"]
        values = {"seconds": seconds, "rate": rate, "seed": seed, "keys": KEYS}
        load = experiment.Load(scenario="steady_chat", values=values, collector=collector)
        for suite in SUITES if name == "all" else [name]:
            title = f"{suite}: {rate:g} requests/s for {seconds:g} s, the same schedule within a pair"
            _print(title, collector, _compare(suite, base, load, pairs, f"{suite}-{stamp}", console), console)
    console.print("every request of every run:")
    console.print(f"  tokenjoule query --data {directory / 'data'} 'FROM requests'", soft_wrap=True)


def _compare(
    suite: str, base: Path, load: experiment.Load, pairs: int, prefix: str, console: Console
) -> list[RunResult]:
    """Every run of one suite, settled."""
    gateway = settings.read(base)["serving"]["gateway"]
    target = f"http://{gateway.get('host', '127.0.0.1')}:{gateway['port']}"
    arms = [experiment.Arm(name=variant.name, target=target) for variant in SUITES[suite]]
    with Stage(suite, base, console) as stage:
        results = experiment.run_suite(arms, load, pairs, prefix, stage.put_on)
    settle(load.collector, flush_s=0.0)  # what ran is stopped and has flushed
    return results


class Stage:
    """The serving side of one arm at a time. Use as a context manager; leaving it stops the last one."""

    def __init__(self, suite: str, base: Path, console: Console) -> None:
        self._variants = {variant.name: variant for variant in SUITES[suite]}
        self._base = base
        self._console = console
        self._running: stack.Stack | None = None

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def put_on(self, arm: experiment.Arm) -> None:
        """Stop what ran, which flushes its telemetry, and start engines and gateway with the arm's settings."""
        self._clear()
        directory = self._base.parent / arm.name
        overrides = self._variants[arm.name].overrides(self._base)
        config = configuration.derive(self._base, directory, free_ports=False, overrides=overrides)
        self._running = stack.Stack(directory / "logs")
        with self._console.status(f"{arm.name}: starting engines and gateway"):
            self._running.start_in_order(stack.specs(config, only=SERVING))
        self._console.print(f"loading [bold]{arm.name}[/]")

    def _clear(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


def _print(title: str, collector: str, results: list[RunResult], console: Console) -> None:
    from analytics.reports import arms
    from store import reading

    with reading.open(collector) as reader:
        console.print(arms.render(title, arms.by_arm(reader, [result.run_id for result in results])))
