"""The two Llama shapes and the Hugging Face folders they are saved as."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.library_desk import exits, vocabulary
from training.library_desk.vocabulary import BOS_ID, END_ID, PAD_ID


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of one model; every head has 32 dimensions."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    exits: tuple[int, ...] = ()
    """After how many layers the model can stop (``exits``)."""


SHAPES: Final = {
    "expert": Shape(hidden=256, layers=6, heads=8, kv_heads=4, feed_forward=688, exits=(2, 3)),
    "scout": Shape(hidden=128, layers=2, heads=4, kv_heads=2, feed_forward=352),
}
GENERATION: Final[dict[str, object]] = {
    "bos_token_id": BOS_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID, "do_sample": False,
}  # fmt: skip


def initialised(name: str, seed: int) -> LlamaForCausalLM:
    """A model of the named shape with random fp32 weights drawn from ``seed``."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(SHAPES[name]))
    _start_from_the_embedding(model)
    exits.attach(model, SHAPES[name].exits)
    # With bf16 on CPU the fused attention's backward took 30 % of a step; eager attention takes 5 %.
    model.set_attn_implementation("eager")
    return model


def continued(name: str, folder: Path) -> LlamaForCausalLM:
    """The saved model of the named shape, to be trained on; exits that it lacks begin with its last norm."""
    model = load(folder)
    if missing := tuple(k for k in SHAPES[name].exits if k not in exits.attached(model)):
        exits.attach(model, missing)
        for norm in exits.attached(model).values():
            norm.load_state_dict(model.model.norm.state_dict())
    return model


def num_parameters(model: LlamaForCausalLM) -> int:
    """Trainable parameters of the stock model; the tied embedding counts once, the norms of exits do not."""
    return sum(weights.numel() for name, weights in model.named_parameters() if not exits.is_of_an_exit(name))


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config, bf16 weights, exits, generation defaults and tokenizer; the model in memory stays fp32."""
    folder.mkdir(parents=True, exist_ok=True)
    # The head is tied to the embedding; a second copy would be a twentieth of the file.
    stock = {name: tensor for name, tensor in model.state_dict().items() if not exits.is_of_an_exit(name)}
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in stock.items() if name != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=rounded)
    exits.save(model, folder)
    _name_dtype(folder / "config.json")
    _write_json(folder / "generation_config.json", GENERATION)
    vocabulary.save(folder)


def load(folder: Path) -> LlamaForCausalLM:
    """The saved model with its exits in fp32, ready for inference."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    exits.load(model, folder)
    model.train(False)
    return model


def _config(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary.SIZE, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, intermediate_size=shape.feed_forward,
        max_position_embeddings=vocabulary.MAX_POSITIONS, tie_word_embeddings=True,
        bos_token_id=BOS_ID, eos_token_id=END_ID, pad_token_id=PAD_ID,
    )  # fmt: skip


@torch.no_grad()
def _start_from_the_embedding(model: LlamaForCausalLM) -> None:
    """Scale weights by 1/√hidden and let every block begin as a no-op.

    At transformers' own 0.02, made for wide models, the blocks' noise drowned the token at width 256: after
    twelve minutes the expert still guessed in every look-up.
    """
    for name, weights in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(weights)
        elif weights.dim() == 2:
            torch.nn.init.normal_(weights, std=model.config.hidden_size**-0.5)


def _name_dtype(path: Path) -> None:
    """Name the weights' dtype: transformers 5 writes ``dtype``; older readers, and vLLM, look for ``torch_dtype``."""
    _write_json(path, json.loads(path.read_text()) | {"dtype": "bfloat16", "torch_dtype": "bfloat16"})


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
