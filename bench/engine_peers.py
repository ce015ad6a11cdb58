"""Peers of the engine on the same weights: transformers' continuous batching, static ``generate``, vLLM's CPU build.

vLLM runs in the interpreter that ``TOKENJOULE_VLLM_PYTHON`` names, in one process, so that its CPU seconds are its own.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

VARIABLE = "TOKENJOULE_VLLM_PYTHON"
WITHIN_S = 600
_VLLM = """
import json, sys, time
from vllm import LLM, SamplingParams
asked = json.load(sys.stdin)
llm = LLM(asked["model"], dtype="float32", max_model_len=1024, enable_prefix_caching=False, enforce_eager=True)
def run(count):
    wanted = SamplingParams(temperature=0, max_tokens=count, min_tokens=count, ignore_eos=True)
    began = time.process_time()
    answers = llm.generate([{"prompt_token_ids": p} for p in asked["prompts"]], wanted, use_tqdm=False)
    return sum(len(a.outputs[0].token_ids) for a in answers) / (time.process_time() - began)
run(4)
print(json.dumps({"rate": run(asked["num_output"])}))
"""


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


def vllm_rate(folder: Path, prompts: list[list[int]], num_output: int) -> float | str:
    """Output tokens per CPU second, or why there is no figure."""
    python = os.environ.get(VARIABLE)
    if not python:
        return f"missing: name an interpreter with vLLM in {VARIABLE}"
    asked = {"model": str(folder), "prompts": prompts, "num_output": num_output}
    limits = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    ended = subprocess.run(
        [python, "-c", _VLLM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
        env={**os.environ, **limits},
    )
    if ended.returncode != 0:
        return f"failed: {(ended.stderr.strip().splitlines() or ['no message'])[-1][:120]}"
    rate: float = json.loads(ended.stdout.strip().splitlines()[-1])["rate"]
    return rate
