"""Small checkpoints of Llama and its relatives, random, with a byte-level tokenizer, saved as Hugging Face folders."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD_ID, BOS_ID, END_ID = 0, 1, 2
WORDS = ["the", "Ġarchive", "Ġis", "Ġopen", "Ġat", "Ġnine", "ing", "er"]
VOCAB_SIZE = len(SPECIAL) + 256 + len(WORDS)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def save(folder: Path, seed: int = 0, family: str = "llama", **config: Any) -> Path:
    """A checkpoint with bf16 weights; ``config`` overrides the small default shape.

    Vectors (biases, norms) of families other than Llama are random too: zeros and ones would hide their absence.
    """
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "bos_token_id": BOS_ID, "eos_token_id": END_ID, "pad_token_id": PAD_ID, "initializer_range": 0.2,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**shape, **config})).to(torch.bfloat16)
    if family != "llama":
        for parameter in (one for one in model.parameters() if one.dim() == 1):
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.generation_config = GenerationConfig(bos_token_id=BOS_ID, eos_token_id=END_ID, pad_token_id=PAD_ID)
    model.save_pretrained(folder)
    _save_tokenizer(folder)
    return folder


def _save_tokenizer(folder: Path) -> None:
    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *WORDS]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A $B", special_tokens=[("<|bos|>", BOS_ID)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": {"content": "<|bos|>"}, "eos_token": "<|end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
