"""A comparison puts one arm on at a time, in the order that cancels drift, and says what it cannot compare."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from conventions import settings
from conventions.errors import SettingsError
from loadgen import experiment
from tokenjoule import configuration, stack, suite
from tokenjoule.commands.options import DEMO_CONFIG


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return configuration.derive(DEMO_CONFIG, tmp_path, free_ports=True)


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was started, loaded and stopped, without processes."""
    events: list[str] = []

    class Recorded(stack.Stack):
        def start_in_order(self, specs: Any) -> dict[str, str]:
            config = settings.read(Path(specs[0].command[3]))
            events.append(f"start {config['serving']['engines']['scout']['batching']}")
            return {}

        def stop(self) -> None:
            events.append("stop")

    def run_arm(arm: experiment.Arm, load: experiment.Load, run_id: str) -> Any:
        events.append(f"load {arm.name} with seed {load.values['seed']}")
        return SimpleNamespace(run_id=run_id)

    monkeypatch.setattr(stack, "Stack", Recorded)
    monkeypatch.setattr(experiment, "run_arm", run_arm)
    monkeypatch.setattr(suite, "settle", lambda *_, **__: events.append("settle"))
    return events


def test_each_arm_is_put_on_before_its_run_and_the_last_one_is_stopped(base: Path, happened: list[str]) -> None:
    load = experiment.Load(scenario="steady_chat", values={"seed": 5}, collector="http://127.0.0.1:9")
    results = suite._compare("batching", base, load, 2, "run", Console(file=io.StringIO()))
    assert happened == [
        "start none", "load none with seed 5", "stop", "start continuous", "load continuous with seed 5", "stop",
        "start continuous", "load continuous with seed 6", "stop", "start none", "load none with seed 6", "stop",
        "settle",
    ]  # fmt: skip
    assert [result.run_id for result in results] == ["run-0-none", "run-0-continuous", "run-1-continuous", "run-1-none"]


def test_a_run_that_fails_leaves_nothing_running(
    base: Path, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise SettingsError("no load")

    monkeypatch.setattr(experiment, "run_arm", refused)
    load = experiment.Load(scenario="steady_chat", values={"seed": 5}, collector="http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="no load"):
        suite._compare("batching", base, load, 1, "run", Console(file=io.StringIO()))
    assert happened == ["start none", "stop"]


def test_batching_needs_engines_of_our_own(tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text("[serving.gateway]\nport = 1\n")
    with pytest.raises(SettingsError, match=r"serving\.engines"):
        suite.SUITES["batching"][0].overrides(bare)
    assert suite.SUITES["routing"][0].overrides(bare) == {"serving.gateway.policy": "round_robin"}
