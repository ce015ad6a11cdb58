"""One forward pass over spans: assemble the batch, run the model."""

from collections.abc import Sequence

import torch

from serving.engine import batch
from serving.engine.batch import Batch, Span
from serving.engine.exits import Confidence, Departed
from serving.engine.kv import KvCache
from serving.engine.model import Model


def logits_of(model: Model, kv: KvCache, spans: Sequence[Span], num_layers: int | None = None) -> torch.Tensor:
    """Float32 logits of the spans' sampling rows, in order; ``num_layers``: leave the model after so many layers."""
    with torch.inference_mode():
        return model.forward(_batch(kv, spans), kv, num_layers)


def exiting(model: Model, kv: KvCache, spans: Sequence[Span], confidence: Confidence) -> Departed:
    """Like ``logits_of``, but decoded positions leave where they are confident, those of spans with a threshold."""
    with torch.inference_mode():
        return model.forward_exiting(_batch(kv, spans), kv, confidence)


def _batch(kv: KvCache, spans: Sequence[Span]) -> Batch:
    return batch.assemble(spans, kv, kv.keys.device, kv.keys.dtype)
