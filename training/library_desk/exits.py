"""Exit heads: what a model would answer after its first k layers, through one norm of its own and the shared head.

``logits_k = lm_head(RMSNorm(hidden after k layers, exits.k.norm.weight))``. An engine uses them to skip the later
layers of a token it is sure of, or to draft with the early ones (Elhoushi et al. 2024, "LayerSkip"). They are
``hidden_size`` numbers for each exit beside a stock checkpoint, in a file that transformers does not read.
"""

import copy
from pathlib import Path
from typing import Final, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaForCausalLM

FILE: Final = Path("exits") / "model.safetensors"
_NAME: Final = "exits"


def attach(model: LlamaForCausalLM, layers: tuple[int, ...]) -> None:
    """Give ``model`` an untrained exit after each count of ``layers``; its own logits do not change."""
    hidden, eps = model.config.hidden_size, model.config.rms_norm_eps
    heads = {str(k): nn.ModuleDict({"norm": nn.RMSNorm(hidden, eps=eps)}) for k in layers}
    model.add_module(_NAME, nn.ModuleDict(heads))


def attached(model: LlamaForCausalLM) -> dict[int, nn.Module]:
    """The norm of each exit by its number of layers; empty for a model without exits."""
    heads = cast(nn.ModuleDict, getattr(model, _NAME, nn.ModuleDict()))
    return {int(k): cast(nn.ModuleDict, head)["norm"] for k, head in heads.items()}


def is_of_an_exit(name: str) -> bool:
    """Does the parameter called ``name`` belong to an exit, and not to the stock model?"""
    return name.startswith(f"{_NAME}.")


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write ``exits/model.safetensors`` in bf16; a model without exits leaves none behind."""
    own = {name: tensor for name, tensor in model.state_dict().items() if is_of_an_exit(name)}
    if own:
        (folder / FILE).parent.mkdir(exist_ok=True)
        save_file({name: tensor.to(torch.bfloat16) for name, tensor in own.items()}, folder / FILE)
    else:
        (folder / FILE).unlink(missing_ok=True)


def load(model: LlamaForCausalLM, folder: Path) -> None:
    """Attach the exits that ``folder`` has, if any, in the model's dtype."""
    if (folder / FILE).exists():
        tensors = load_file(folder / FILE)
        attach(model, tuple(int(name.split(".")[1]) for name in tensors))
        unexpected = model.load_state_dict(tensors, strict=False).unexpected_keys
        assert not unexpected, unexpected


def cut(model: LlamaForCausalLM, depth: int) -> LlamaForCausalLM:
    """A stock model of the first ``depth`` layers that answers as ``model``'s exit there does."""
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = depth
    early = LlamaForCausalLM(config)
    early.model.embed_tokens, early.lm_head = model.model.embed_tokens, model.lm_head
    early.model.layers = model.model.layers[:depth]
    early.model.norm.load_state_dict(attached(model)[depth].state_dict())
    early.train(model.training)
    return early
