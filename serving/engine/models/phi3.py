"""Phi-3 (arXiv 2404.14219): Llama's layers, with query, key and value stored as one matrix, gate and up as another.

The long-context variants (``longrope``) and partly rotated heads (Phi-4-mini) are refused by name.
"""

from collections.abc import Mapping
from typing import Any

import torch

from serving.engine.models import llama


class Model(llama.Model):
    """``Phi3ForCausalLM``."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], max_positions: int) -> None:
        super().__init__(config, _split(config, tensors), max_positions)


def _split(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under Llama's names; views, no copies."""
    num_heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // num_heads)
    num_keys = int(config.get("num_key_value_heads") or num_heads) * head_dim
    parts = {
        "qkv_proj": (("q_proj", "k_proj", "v_proj"), (num_heads * head_dim, num_keys, num_keys)),
        "gate_up_proj": (("gate_proj", "up_proj"), (int(config["intermediate_size"]),) * 2),
    }
    found = dict(tensors)
    for name, tensor in tensors.items():
        for fused, (names, sizes) in parts.items():
            if f".{fused}." in name:
                del found[name]
                found |= {
                    name.replace(fused, one): part
                    for one, part in zip(names, torch.split(tensor, list(sizes)), strict=True)
                }
    return found
