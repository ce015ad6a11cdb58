"""Early exit as plain PyTorch would do it: one token at a time, layer by layer, on the modules of ``transformers``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb


def save_heads(folder: Path, layers: Sequence[int], hidden: int = 64, seed: int = 7) -> dict[int, torch.Tensor]:
    """Random exit heads, as different from the final norm as any."""
    draw = torch.Generator().manual_seed(seed)
    norms = {k: 1 + 0.3 * torch.randn(hidden, generator=draw) for k in layers}
    (folder / "exits").mkdir()
    save_file({f"exits.{k}.norm.weight": norm for k, norm in norms.items()}, folder / "exits" / "model.safetensors")
    return norms


class ExitOracle:
    """Greedy decoding that leaves at the first exit whose top probability reaches the threshold."""

    def __init__(self, folder: Path, norms: dict[int, torch.Tensor]) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._norms = norms

    @torch.inference_mode()
    def greedy(self, prompt: Sequence[int], count: int, threshold: float) -> tuple[list[int], list[int], float]:
        """Tokens, the layers that each one after the first took, and how close a call the closest choice was."""
        decoder = self._model.model
        self._cache: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in decoder.layers]
        tokens, depths, self.closest = list(prompt), list[int](), 1.0
        for position in range(len(prompt) + count - 1):
            decodes = position >= len(prompt)
            logits, depth = self._forward(tokens[position], position, threshold if decodes else 2.0)
            if decodes:
                depths.append(depth)
            if position >= len(prompt) - 1:
                best = logits.topk(2).values
                self.closest = min(self.closest, float(best[0] - best[1]))
                tokens.append(int(logits.argmax()))
        return tokens[len(prompt) :], depths, self.closest

    def _forward(self, token: int, position: int, threshold: float) -> tuple[torch.Tensor, int]:
        """Logits of one position, and the layers that it went through; every layer's cache grows."""
        decoder = self._model.model
        state = decoder.embed_tokens(torch.tensor([[token]]))
        turn = decoder.rotary_emb(state, torch.tensor([[position]]))
        said: torch.Tensor | None = None
        depth = len(decoder.layers)
        for index, layer in enumerate(decoder.layers):
            attended = self._attend(index, layer, layer.input_layernorm(state), turn)
            if said is None:
                state = state + attended
                state = state + layer.mlp(layer.post_attention_layernorm(state))
            if said is None and index + 1 in self._norms:
                logits = self._model.lm_head(self._normalised(state, self._norms[index + 1]))[0, 0]
                sure = float(torch.softmax(logits, -1).max())
                self.closest = min(self.closest, abs(sure - threshold))
                if sure >= threshold:
                    said, depth = logits, index + 1
        return (self._model.lm_head(decoder.norm(state))[0, 0] if said is None else said), depth

    def _attend(self, index: int, layer: Any, normed: torch.Tensor, turn: Any) -> torch.Tensor:
        attention = layer.self_attn
        shape = (1, 1, -1, attention.head_dim)
        query, key, value = (
            part(normed).view(shape) for part in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if hasattr(attention, "q_norm"):
            query, key = attention.q_norm(query), attention.k_norm(key)
        query, key = apply_rotary_pos_emb(query.transpose(1, 2), key.transpose(1, 2), *turn)
        self._cache[index].append((key, value.transpose(1, 2)))
        keys, values = (torch.cat(parts, dim=2) for parts in zip(*self._cache[index], strict=True))
        attended = torch.nn.functional.scaled_dot_product_attention(query, keys, values, enable_gqa=True)
        projected: torch.Tensor = attention.o_proj(attended.transpose(1, 2).reshape(1, 1, -1))
        return projected

    def _normalised(self, state: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        epsilon = self._model.config.rms_norm_eps
        return weight * state * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + epsilon)
