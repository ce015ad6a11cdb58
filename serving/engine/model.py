"""What the engine asks of a model, and how one is chosen by the checkpoint's architecture."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from conventions import plugins
from conventions.errors import ModelNotSupported
from serving.engine.batch import Batch
from serving.engine.checkpoint import Checkpoint
from serving.engine.exits import Confidence, Departed, ExitHead
from serving.engine.kv import KvCache, KvShape

REGISTRY = "serving.engine.models"
_SUFFIX = "ForCausalLM"


class Model(Protocol):
    """The role that every module of ``models/`` fills."""

    kv_shape: KvShape
    vocab_size: int
    exits: tuple[ExitHead, ...]
    """Where it can be left early, by depth; empty until ``attach_exits``."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], max_positions: int) -> None:
        """Take the weights in. Raises ``ModelNotSupported`` for a feature that is not there."""
        ...

    def quantise(self) -> None:
        """Keep matrices in eight bits from now on. Raises ``ModelNotSupported`` off the CPU."""
        ...

    def forward(self, batch: Batch, kv: KvCache, num_layers: int | None = None) -> torch.Tensor:
        """Compute every row, write its keys and values to ``kv``; float32 logits ``[logit_rows, vocab_size]``.

        ``num_layers``: only the first so many layers, then the norm of the exit there (the final one when there is
        none) and the head.
        """
        ...

    def attach_exits(self, norms: Mapping[int, torch.Tensor]) -> None:
        """Make it possible to leave after these numbers of layers. Raises ``ModelNotSupported`` for impossible ones."""
        ...

    def turned(self, keys: torch.Tensor, source: int, position: int) -> torch.Tensor:
        """Keys ``[layer, head, n, dim]`` computed from position ``source`` on, as they are from ``position`` on."""
        ...

    def forward_exiting(self, batch: Batch, kv: KvCache, confidence: Confidence) -> Departed:
        """``forward``, but decode rows leave at the first exit where ``confidence`` reaches their threshold."""
        ...


def load(checkpoint: Checkpoint, max_positions: int, dtype: torch.dtype, device: torch.device) -> Model:
    """The checkpoint's model with its weights on ``device``.

    Raises ``ModelNotSupported`` naming the architectures there are, or the feature that is missing.
    """
    name = checkpoint.architecture.removesuffix(_SUFFIX).lower()
    known = plugins.names(REGISTRY)
    if name not in known or not checkpoint.architecture.endswith(_SUFFIX):
        supported = ", ".join(f"{choice.capitalize()}{_SUFFIX}" for choice in known)
        raise ModelNotSupported(
            f"{checkpoint.folder}: architecture {checkpoint.architecture} is not supported: choose from {supported}"
        )
    model: Model = plugins.load(REGISTRY, name, "Model")(
        checkpoint.config, checkpoint.tensors(dtype, device), max_positions
    )
    model.attach_exits(checkpoint.exit_norms(dtype, device))
    return model
