"""One stack's configuration file, derived from a worked example: free ports, data folder, absolute weights.

Ports are moved everywhere at once: integer values of a key ``port`` and ``host:port`` inside strings.
"""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from conventions import plugins, settings
from conventions.errors import SettingsError

ROOT = Path(__file__).parents[1]
SECTIONS = ("budgets", "collector", "dashboard", "loadgen", "rules", "serving")
SERVING = ("engines", "gateway", "vllm")


def derive(config: Path, directory: Path, *, free_ports: bool, overrides: Mapping[str, Any] | None = None) -> Path:
    """Write ``directory/stack.toml`` from ``config`` and return its path.

    ``overrides`` maps dotted keys (``"serving.gateway.policy"``) to values. Relative weights that do not exist from the
    working directory are looked up beside the installed packages.
    """
    values = settings.read(config)
    _refuse_unknown(config, values, SECTIONS, "section")
    _refuse_unknown(config, values.get("serving", {}), SERVING, "section of [serving]")
    for dotted, value in (overrides or {}).items():
        _assign(values, dotted, value)
    if free_ports:
        values = _move_ports(values, {port: free_port() for port in sorted(_ports(values))})
    for kind, key in (("engines", "weights"), ("vllm", "model")):
        for name, engine in values.get("serving", {}).get(kind, {}).items():
            engine[key] = str(_weights(Path(engine[key]), name))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "stack.toml"
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    return path


def _refuse_unknown(config: Path, values: Mapping[str, Any], known: tuple[str, ...], kind: str) -> None:
    """A section with a slip in its name would be a process that silently does not start."""
    for key in values:
        if key not in known:
            raise SettingsError(f"{config}: {plugins.unknown(kind, key, list(known))}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _assign(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for key in parents:
        values = values.setdefault(key, {})
    values[last] = value


def _weights(path: Path, engine: str) -> Path:
    for candidate in (path, ROOT / path):
        if (candidate / "config.json").exists():
            return candidate.resolve()
    raise SettingsError(f"engine {engine}: no model at {path}; weights must name a folder with config.json")


def _ports(value: Any) -> set[int]:
    if isinstance(value, dict):
        own = {value["port"]} if isinstance(value.get("port"), int) else set()
        return own.union(*(_ports(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_ports(item) for item in value))
    return set()


def _move_ports(value: Any, moved: Mapping[int, int]) -> Any:
    if isinstance(value, dict):
        return {
            key: moved.get(item, item) if key == "port" and isinstance(item, int) else _move_ports(item, moved)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_move_ports(item, moved) for item in value]
    if isinstance(value, str):
        return re.sub(r"(127\.0\.0\.1|localhost):(\d+)", lambda match: _moved_address(match, moved), value)
    return value


def _moved_address(match: re.Match[str], moved: Mapping[int, int]) -> str:
    port = int(match.group(2))
    return f"{match.group(1)}:{moved.get(port, port)}"
