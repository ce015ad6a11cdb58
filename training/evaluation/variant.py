"""A way to serve the models: which engines with which settings, and who decides between them."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from conventions import plugins, settings
from conventions.errors import SettingsError

REGISTRY: Final = "training.evaluation.variants"
_MODELS: Final = "{models}"
_BYTES_IN_MEMORY: Final = {"auto": 4, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Variant:
    """One TOML file. ``engines`` maps a model's folder to settings over the engine's defaults; ``{models}`` in a value
    is the folder of the models."""

    title: str
    engines: dict[str, dict[str, Any]]
    ask: str | None = None
    """The model to ask for; the only engine's when absent."""
    against: str | None = None
    """The variant that it is compared with."""
    gateway: dict[str, Any] = field(default_factory=dict)
    """Settings of a gateway in front of the engines; none without."""
    needs: tuple[str, ...] = ()
    """Files that must be among the models."""
    remedy: str = ""
    """What makes them."""

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("no [engines.*]: name at least one model's folder")
        if not self.gateway and len(self.engines) > 1:
            raise ValueError("several engines and no [gateway]: nobody would choose between them")

    @property
    def model(self) -> str:
        """What is asked for."""
        return self.ask or next(iter(self.engines))

    def missing(self, models: Path) -> str | None:
        """Why it cannot run with the models in ``models``; None when it can."""
        wanted = [*(f"{name}/config.json" for name in self.engines), *self.needs]
        absent = [name for name in wanted if not (models / name).is_file()]
        return f"no {absent[0]} in {models}{self.remedy and f'; {self.remedy}'}" if absent else None

    def engine_settings(self, models: Path) -> dict[str, dict[str, Any]]:
        """Settings by folder, with the folder as weights."""
        return {name: _placed(given, models) | {"weights": str(models / name)} for name, given in self.engines.items()}

    def gateway_settings(self, models: Path) -> dict[str, Any]:
        """Settings of the gateway, its backends aside."""
        placed: dict[str, Any] = _placed(self.gateway, models)
        return placed

    def weight_bytes(self, models: Path) -> int:
        """Bytes of all weights as its engines hold them in memory, drafting models included."""
        held = 0
        for name, given in self.engine_settings(models).items():
            folders = [models / name, *([Path(given["draft_weights"])] if "draft_weights" in given else [])]
            held += sum(_held_bytes(folder, given) for folder in folders)
        return held


def names() -> list[str]:
    """The variants that there are."""
    return plugins.names(REGISTRY, ".toml")


def load(name: str) -> Variant:
    """A variant of the registry, or of a TOML file if ``name`` is a path to one.

    Raises ``PluginError`` naming the choices, ``SettingsError`` for a file that is none.
    """
    if name.endswith(".toml"):
        return settings.build(Variant, settings.read(Path(name)), name)
    values = tomllib.loads(plugins.text(REGISTRY, name, ".toml", "variant"))
    return settings.build(Variant, values, f"variant {name}")


def file_bytes(folder: Path) -> int:
    """Bytes of a model's weight files on disk, exit heads included."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _placed(value: Any, models: Path) -> Any:
    """``{models}`` filled in, all the way down."""
    if isinstance(value, Mapping):
        return {key: _placed(item, models) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, models) for item in value]
    return value.replace(_MODELS, str(models)) if isinstance(value, str) else value


def _held_bytes(folder: Path, given: Mapping[str, Any]) -> int:
    """From the shapes in the files' headers: int8 keeps the layers' matrices in eight bits and a scale per output."""
    wide = _BYTES_IN_MEMORY.get(str(given.get("dtype", "auto")), 4)
    held = 0
    for name, shape in _shapes(folder).items():
        elements = 1
        for length in shape:
            elements *= length
        is_layer_matrix = len(shape) == 2 and ".layers." in name
        eight_bits = given.get("quantisation") == "int8" and is_layer_matrix
        held += elements + 8 * shape[0] if eight_bits else elements * wide
    return held


def _shapes(folder: Path) -> dict[str, list[int]]:
    """Of every tensor in the folder's safetensors files (format: 8 bytes of length, then a JSON header)."""
    found: dict[str, list[int]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        found |= {name: told["shape"] for name, told in header.items() if name != "__metadata__"}
    if not found:
        raise SettingsError(f"{folder}: no model*.safetensors; give a Hugging Face model folder")
    return found
