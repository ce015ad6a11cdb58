"""Llama decoder (arXiv 2302.13971, 2307.09288): RMSNorm, rotary positions, grouped queries, SwiGLU.

Plain tensors and functions. Query, key and value projections are one matrix, gate and up another: three products
less per layer, which at one token per request is most of what a small model costs on CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from conventions.errors import ModelNotSupported
from serving.engine import rope
from serving.engine.attention import attend
from serving.engine.batch import Batch
from serving.engine.exits import Confidence, Departed, ExitHead, Leaving
from serving.engine.int8 import Int8Linear
from serving.engine.kv import KvCache, KvShape
from serving.engine.linear import Linear


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the config says about the shape."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    epsilon: float

    @property
    def num_rotated(self) -> int:
        """Heads that positions rotate: queries and keys."""
        return self.num_heads + self.num_kv_heads


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one decoder layer."""

    attention_norm: torch.Tensor
    query_key_value: Linear | Int8Linear
    head_norms: torch.Tensor | None
    """``[rotated head, dim]``: weights of an RMSNorm over each query and key head; most families have none."""
    attention_out: Linear | Int8Linear
    feed_forward_norm: torch.Tensor
    gate_up: Linear | Int8Linear
    down: Linear | Int8Linear

    def quantised(self) -> "Layer":
        """The same layer with its products in eight bits."""
        return replace(
            self,
            query_key_value=_int8(self.query_key_value),
            attention_out=_int8(self.attention_out),
            gate_up=_int8(self.gate_up),
            down=_int8(self.down),
        )


class Model:
    """``LlamaForCausalLM``, and what its relatives are made of: biases and head norms are used when they are there."""

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], max_positions: int) -> None:
        _refuse_unknown(config)
        _refuse_window(config, max_positions)
        self._sizes = sizes = _sizes(config)
        self.kv_shape = KvShape(sizes.num_layers, sizes.num_kv_heads, sizes.head_dim)
        self._embedding = _tensor(tensors, "model.embed_tokens.weight")
        self.vocab_size = len(self._embedding)
        self._layers = [_layer(tensors, index, sizes) for index in range(sizes.num_layers)]
        self._norm = _tensor(tensors, "model.norm.weight")
        self._head = self._embedding if config.get("tie_word_embeddings") else _tensor(tensors, "lm_head.weight")
        self._rotations = rope.table(config, sizes.head_dim, max_positions).to(self._embedding.device)[:, None]
        self.exits: tuple[ExitHead, ...] = ()

    def attach_exits(self, norms: Mapping[int, torch.Tensor]) -> None:
        """Make it possible to leave after these numbers of layers."""
        for num_layers, norm in norms.items():
            if not 0 < num_layers < self._sizes.num_layers or norm.shape != self._norm.shape:
                raise ModelNotSupported(
                    f"exit head after {num_layers} layers with a norm of {tuple(norm.shape)} does not fit: "
                    f"from 1 to {self._sizes.num_layers - 1} layers and {tuple(self._norm.shape)} do"
                )
        self.exits = tuple(self._exit_head(num_layers, norms[num_layers]) for num_layers in sorted(norms))

    def quantise(self) -> None:
        """Keep the layers' matrices in eight bits; embedding, head and norms stay as they are."""
        self._layers = [layer.quantised() for layer in self._layers]
        self.exits = tuple(head.quantised() for head in self.exits)

    def forward(self, batch: Batch, kv: KvCache, num_layers: int | None = None) -> torch.Tensor:
        """Compute every row through the first ``num_layers`` layers; float32 logits ``[logit_rows, vocab_size]``."""
        states = F.embedding(batch.tokens, self._embedding)
        states = self._through(range(len(self._layers))[:num_layers], states, batch, kv)
        norm = next((head.norm for head in self.exits if head.num_layers == num_layers), self._norm)
        return self._logits(states[batch.logit_rows], norm)

    def forward_exiting(self, batch: Batch, kv: KvCache, confidence: Confidence) -> Departed:
        """Compute every row; decode rows leave at the first exit where ``confidence`` reaches their threshold."""
        states, leaving = F.embedding(batch.tokens, self._embedding), Leaving(batch, len(self._layers))
        done = 0
        for head in self.exits:
            thresholds = leaving.batch.exit_thresholds
            if thresholds is None or not len(thresholds):
                break
            states, done = self._through(range(done, head.num_layers), states, leaving.batch, kv), head.num_layers
            logits = self._logits(states[: len(thresholds)], head.norm)
            gone = confidence(logits) >= thresholds
            if bool(gone.any()):
                self._fill(head, states[: len(gone)][gone], leaving.batch, gone, kv)
                states = states[leaving.leave(gone, logits, done)]
        if len(states):
            states = self._through(range(done, len(self._layers)), states, leaving.batch, kv)
        return leaving.finish(self._logits(states[leaving.batch.logit_rows], self._norm))

    def turned(self, keys: torch.Tensor, source: int, position: int) -> torch.Tensor:
        """Turn ``[layer, head, n, dim]`` keys from the positions after ``source`` to those after ``position``."""
        count = keys.shape[2]
        before, after = (self._rotations[start : start + count, 0] for start in (source, position))
        return rope.rotate(keys, after * before.conj())

    def _through(self, layers: range, states: torch.Tensor, batch: Batch, kv: KvCache) -> torch.Tensor:
        rotations = self._rotations[batch.positions]
        for index in layers:
            layer = self._layers[index]
            states = states + self._attention(layer, index, states, rotations, batch, kv)
            states = states + self._feed_forward(layer, states)
        return states

    def _logits(self, states: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        return F.linear(self._normalised(states, norm), self._head).float()

    def _fill(self, head: ExitHead, states: torch.Tensor, batch: Batch, gone: torch.Tensor, kv: KvCache) -> None:
        """Leave no holes in the cache of the layers that these rows skip."""
        positions = batch.positions[: len(gone)][gone]
        kv_rows = batch.kv_rows.view(len(batch.tokens), -1)[: len(gone)][gone].view(-1)
        head.fill(states, self._rotations[positions], kv, kv_rows, self._sizes.epsilon)

    def _exit_head(self, num_layers: int, norm: torch.Tensor) -> ExitHead:
        """Folding ``x · norm @ W = x @ (norm · W)`` makes one product of all the layers' keys and values."""
        later, first = self._layers[num_layers:], self._sizes.num_heads * self._sizes.head_dim
        parts = [(layer.attention_norm, _float(layer.query_key_value)) for layer in later]
        folded = [(scale.float()[:, None] * linear.weight[:, first:].float()).to(norm.dtype) for scale, linear in parts]
        biases = [linear.bias[first:] for _, linear in parts if linear.bias is not None]
        bias = torch.cat(biases) if biases else None
        key_norms = [layer.head_norms[self._sizes.num_heads :] for layer in later if layer.head_norms is not None]
        return ExitHead(
            num_layers, norm, Linear(torch.cat(folded, dim=1), bias), torch.stack(key_norms) if key_norms else None
        )

    def _attention(
        self, layer: Layer, index: int, states: torch.Tensor, rotations: torch.Tensor, batch: Batch, kv: KvCache
    ) -> torch.Tensor:
        sizes = self._sizes
        projected = layer.query_key_value(self._normalised(states, layer.attention_norm))
        projected = projected.view(len(states), -1, sizes.head_dim)
        turning = projected[:, : sizes.num_rotated]
        if layer.head_norms is not None:
            turning = F.rms_norm(turning, turning.shape[-1:], None, sizes.epsilon) * layer.head_norms
        rotated = rope.rotate(turning, rotations)
        kv.write(index, batch.kv_rows, rotated[:, sizes.num_heads :], projected[:, sizes.num_rotated :])
        attended = attend(batch, kv, index, rotated[:, : sizes.num_heads])
        return layer.attention_out(attended.reshape(len(states), -1))

    def _feed_forward(self, layer: Layer, states: torch.Tensor) -> torch.Tensor:
        gate, up = layer.gate_up(self._normalised(states, layer.feed_forward_norm)).chunk(2, dim=-1)
        return layer.down(F.silu(gate) * up)

    def _normalised(self, states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(states, weight.shape, weight, self._sizes.epsilon)


def _float(linear: Linear | Int8Linear) -> Linear:
    assert isinstance(linear, Linear), "attach exits before quantising"
    return linear


def _int8(linear: Linear | Int8Linear) -> Int8Linear:
    return linear if isinstance(linear, Int8Linear) else Int8Linear(linear.weight, linear.bias)


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Refuse what this module would silently compute wrongly."""
    if (activation := config.get("hidden_act", "silu")) != "silu":
        raise ModelNotSupported(f"hidden_act {activation!r} is not supported: llama needs 'silu'")
    if (slices := config.get("pretraining_tp", 1)) != 1:
        raise ModelNotSupported(f"pretraining_tp {slices} is not supported: only 1 is")
    parameters = config.get("rope_parameters") or {}
    share = config.get("partial_rotary_factor") or parameters.get("partial_rotary_factor") or 1.0
    if share != 1.0:
        raise ModelNotSupported(f"partial_rotary_factor {share} is not supported: only 1.0 is")


def _refuse_window(config: Mapping[str, Any], max_positions: int) -> None:
    """A sliding window changes nothing as long as no context outgrows it."""
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if window is not None and max_positions > window:
        raise ModelNotSupported(f"a sliding window of {window} is not supported: set max_model_len to {window} or less")


def _sizes(config: Mapping[str, Any]) -> Sizes:
    num_heads = int(config["num_attention_heads"])
    return Sizes(
        num_layers=int(config["num_hidden_layers"]),
        num_heads=num_heads,
        num_kv_heads=int(config.get("num_key_value_heads") or num_heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // num_heads),
        epsilon=float(config.get("rms_norm_eps", 1e-6)),
    )


def _layer(tensors: Mapping[str, torch.Tensor], index: int, sizes: Sizes) -> Layer:
    prefix = f"model.layers.{index}."
    return Layer(
        attention_norm=_tensor(tensors, f"{prefix}input_layernorm.weight"),
        query_key_value=_query_key_value(tensors, f"{prefix}self_attn.", sizes.head_dim),
        head_norms=_head_norms(tensors, f"{prefix}self_attn.", sizes),
        attention_out=_stacked(tensors, f"{prefix}self_attn.", ("o_proj",)),
        feed_forward_norm=_tensor(tensors, f"{prefix}post_attention_layernorm.weight"),
        gate_up=_stacked(tensors, f"{prefix}mlp.", ("gate_proj", "up_proj")),
        down=_stacked(tensors, f"{prefix}mlp.", ("down_proj",)),
    )


def _query_key_value(tensors: Mapping[str, torch.Tensor], prefix: str, head_dim: int) -> Linear:
    """One projection for all three, with rotated dimensions as neighbours (see ``rope``)."""
    reordered = {
        f"{prefix}{name}.{part}": rope.interleaved(tensors[f"{prefix}{name}.{part}"], head_dim)
        for name in ("q_proj", "k_proj")
        for part in ("weight", "bias")
        if f"{prefix}{name}.{part}" in tensors
    }
    return _stacked({**tensors, **reordered}, prefix, ("q_proj", "k_proj", "v_proj"))


def _head_norms(tensors: Mapping[str, torch.Tensor], prefix: str, sizes: Sizes) -> torch.Tensor | None:
    """Query heads have one weight and key heads another (Qwen3); dimensions in the order of the projection's."""
    if f"{prefix}q_norm.weight" not in tensors:
        return None
    counts = (("q_norm", sizes.num_heads), ("k_norm", sizes.num_kv_heads))
    weights = [rope.interleaved(_tensor(tensors, f"{prefix}{name}.weight"), sizes.head_dim) for name, _ in counts]
    return torch.cat([weight.expand(count, -1) for weight, (_, count) in zip(weights, counts, strict=True)])


def _stacked(tensors: Mapping[str, torch.Tensor], prefix: str, names: tuple[str, ...]) -> Linear:
    weight = torch.cat([_tensor(tensors, f"{prefix}{name}.weight") for name in names]).t().contiguous()
    biases = [tensors[key] for name in names if (key := f"{prefix}{name}.bias") in tensors]
    assert len(biases) in (0, len(names)), f"{prefix}: some of {names} have a bias and some have none"
    return Linear(weight, torch.cat(biases) if biases else None)


def _tensor(tensors: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name not in tensors:
        raise ModelNotSupported(f"weight {name!r} is missing from the checkpoint")
    return tensors[name]
