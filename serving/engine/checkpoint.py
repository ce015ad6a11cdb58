"""A Hugging Face folder on disk: config.json, safetensors (one file or sharded), special token ids."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from conventions.errors import ModelNotSupported

EXITS_FILE = Path("exits") / "model.safetensors"
"""Heads for leaving the model early, in a folder of their own: vLLM reads every *.safetensors beside the weights."""
_EXIT_NORM = re.compile(r"exits\.(\d+)\.norm\.weight")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was found complete; tensors are read when asked for."""

    folder: Path
    config: Mapping[str, Any]
    end_ids: frozenset[int]
    """Tokens that end a generation."""

    @property
    def architecture(self) -> str:
        """The first entry of ``architectures``, such as ``LlamaForCausalLM``."""
        return str((self.config.get("architectures") or ["(none)"])[0])

    def tensors(self, dtype: torch.dtype, device: torch.device) -> dict[str, torch.Tensor]:
        """All weights by name, converted while they are read, so that no second copy is held."""
        return {name: tensor.to(device=device, dtype=dtype) for name, tensor in _read(weight_files(self.folder))}

    def exit_norms(self, dtype: torch.dtype, device: torch.device) -> dict[int, torch.Tensor]:
        """The norm of each exit head by the number of layers before it; empty without ``exits/model.safetensors``.

        Raises ``ModelNotSupported`` for tensors of another kind.
        """
        path = self.folder / EXITS_FILE
        found = _read([path]) if path.is_file() else ()
        return {_exit_layer(path, name): tensor.to(device=device, dtype=dtype) for name, tensor in found}


def open_folder(folder: Path) -> Checkpoint:
    """The checkpoint in ``folder``. Raises ``ModelNotSupported`` naming what is missing."""
    config = _json(folder / "config.json")
    if config is None:
        raise ModelNotSupported(f"{folder}: no config.json; give a Hugging Face model folder")
    if quantisation := config.get("quantization_config"):
        method = quantisation.get("quant_method", "unknown")
        raise ModelNotSupported(f"{folder}: {method} quantisation is not supported; give float weights")
    weight_files(folder)
    return Checkpoint(folder, config, _end_ids(config, _json(folder / "generation_config.json") or {}))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises ``ModelNotSupported`` when there are none."""
    index = _json(folder / "model.safetensors.index.json")
    names = sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelNotSupported(f"{folder}: {missing[0]} is missing; only safetensors weights are read")
    return [folder / name for name in names]


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The compute type of a settings name: ``auto`` is float32 on CPU (bf16 is emulated there), bfloat16 on CUDA."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def resolve_device(name: str) -> torch.device:
    """The device of a settings name: ``auto`` is CUDA when there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _read(paths: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  safe_open is no mapping
                yield name, file.get_tensor(name)


def _exit_layer(path: Path, name: str) -> int:
    named = _EXIT_NORM.fullmatch(name)
    if named is None:
        raise ModelNotSupported(f"{path}: tensor {name!r} is not supported: only exits.<layers>.norm.weight is")
    return int(named.group(1))


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _end_ids(config: Mapping[str, Any], generation: Mapping[str, Any]) -> frozenset[int]:
    """The generation config wins, as in transformers and vLLM; either may hold one id or a list."""
    ids = generation.get("eos_token_id", config.get("eos_token_id"))
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
