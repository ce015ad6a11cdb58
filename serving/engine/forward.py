"""One forward pass over spans: assemble the batch, run the model."""

from collections.abc import Sequence

import torch

from serving.engine import batch
from serving.engine.batch import Span
from serving.engine.kv import KvCache
from serving.engine.model import Model


def logits_of(model: Model, kv: KvCache, spans: Sequence[Span], num_layers: int | None = None) -> torch.Tensor:
    """Float32 logits of the spans' sampling rows, in order; ``num_layers``: leave the model after so many layers."""
    with torch.inference_mode():
        return model.forward(batch.assemble(spans, kv, kv.keys.device, kv.keys.dtype), kv, num_layers)
