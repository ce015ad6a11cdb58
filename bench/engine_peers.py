"""Peers of the engine in its own process, same weights: transformers' continuous batching, static ``generate``."""

import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig


class _Transformers:
    def __init__(self, folder: Path) -> None:
        # Any: transformers types its models for protocols that they do not match.
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def settings(self, num_output: int) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=num_output, min_new_tokens=num_output, do_sample=False, eos_token_id=None, pad_token_id=0
        )


class Continuous(_Transformers):
    """``generate_batch``."""

    def rate(self, prompts: list[list[int]], num_output: int) -> float:
        """Output tokens per CPU second of all of them at once."""
        memory = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=512)  # else 60 % of RAM
        began_s = time.process_time()
        with torch.inference_mode():
            answers = self.model.generate_batch(
                prompts, self.settings(num_output), continuous_batching_config=memory, warmup=False
            )
        seconds = time.process_time() - began_s
        tokens = sum(len(one.generated_tokens) for one in answers.values())
        assert tokens == len(prompts) * num_output, f"{tokens} tokens of {len(prompts)} x {num_output}"
        return tokens / seconds


class Static(_Transformers):
    """``generate`` on prompts padded to the left."""

    def rate(self, prompts: list[list[int]], num_output: int) -> float:
        """Output tokens per CPU second of the whole batch."""
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        began_s = time.process_time()
        with torch.inference_mode():
            self.model.generate(ids, attention_mask=mask, generation_config=self.settings(num_output))
        return len(prompts) * num_output / (time.process_time() - began_s)
