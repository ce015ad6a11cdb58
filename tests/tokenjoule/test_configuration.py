"""One example file becomes one stack's file: every port moved everywhere, weights found, overrides applied."""

import tomllib
from pathlib import Path

import pytest

from conventions.errors import SettingsError
from tokenjoule import configuration, stack
from tokenjoule.commands.options import DEMO_CONFIG


def derived(tmp_path: Path, **overrides: object) -> dict[str, object]:
    path = configuration.derive(DEMO_CONFIG, tmp_path, free_ports=True, overrides=overrides)
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_every_mention_of_a_port_moves_with_it(tmp_path: Path) -> None:
    moved, original = derived(tmp_path), tomllib.loads(DEMO_CONFIG.read_text(encoding="utf-8"))
    collector = moved["collector"]["port"]  # type: ignore[index]
    assert collector != original["collector"]["port"]
    serving = moved["serving"]
    assert serving["gateway"]["otlp_endpoint"] == f"http://127.0.0.1:{collector}"  # type: ignore[index]
    for backend in serving["gateway"]["backends"]:  # type: ignore[index]
        port = serving["engines"][backend["name"]]["port"]  # type: ignore[index]
        assert backend["url"] == f"http://127.0.0.1:{port}"
    watched = {process["engine"]: process["port"] for process in moved["collector"]["processes"]}  # type: ignore[index]
    assert watched == {name: engine["port"] for name, engine in serving["engines"].items()}  # type: ignore[index]


def test_weights_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = derived(tmp_path)["serving"]["engines"]["scout"]["weights"]  # type: ignore[index]
    assert (Path(weights) / "config.json").exists()


def test_missing_weights_name_the_engine(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="engine scout: no model at nowhere"):
        derived(tmp_path, **{"serving.engines.scout.weights": "nowhere"})


def test_overrides_reach_nested_keys(tmp_path: Path) -> None:
    assert (
        derived(tmp_path, **{"serving.gateway.policy": "round_robin"})["serving"]["gateway"]["policy"] == "round_robin"
    )  # type: ignore[index]


def test_a_stack_is_collector_engines_gateway_dashboard_in_that_order(tmp_path: Path) -> None:
    path = configuration.derive(DEMO_CONFIG, tmp_path, free_ports=True)
    assert [spec.name for spec in stack.specs(path)] == [
        "collector", "engine:scout", "engine:expert", "gateway", "dashboard",
    ]  # fmt: skip
    assert [spec.name for spec in stack.specs(path, only=frozenset({"gateway"}))] == ["gateway"]
