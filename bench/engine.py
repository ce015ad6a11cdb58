"""How fast is the engine beside its peers? ``python -m bench.engine [--quick]``

The same ``expert`` weights, prompts and output lengths, greedy on one thread, at 1, 8 and 32 requests at once: output
tokens per CPU second, prompts included. In one process, fp32: our engine (``ours``), transformers' continuous batching,
static ``generate``. As servers over HTTP streams, with what a client waits for: ours in fp32 and bf16 (``served``,
``served_bf16``), and stock vLLM's CPU build in bf16 when ``TOKENJOULE_VLLM_PYTHON`` names its interpreter;
``vs_vllm`` is of our better precision. Then speculation: one stream of held-out tasks with long answers (``notes``),
``scout`` drafting, decode steps alone.
"""

import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench import engine_peers, engine_servers
from bench.result import options, publish
from serving.engine.construction import build
from serving.engine.loop import Engine
from serving.engine.request import Request, Sampling
from serving.engine.sequence import Sequence
from serving.engine.settings import EngineSettings
from serving.engine.text import TextStream
from serving.engine.tokenizer import Tokenizer

WEIGHTS = Path(__file__).parents[1] / "serving" / "weights"
CONCURRENCIES = (1, 8, 32)
Figures = dict[str, float | str | None]
Prompts = list[list[int]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it is done."""

    num_output: int
    repeats: int
    num_tasks: int


def main() -> None:
    """Every peer at every concurrency, then speculation."""
    chosen = options(__doc__)
    torch.set_num_threads(1)
    scale = Scale(24, 1, 16) if chosen.quick else Scale(64, 3, 47)
    prompts_of = {concurrency: _prompts(concurrency) for concurrency in CONCURRENCIES}
    figures: Figures = {}
    for concurrency in CONCURRENCIES:
        figures |= _compared(prompts_of[concurrency], concurrency, scale)
    figures |= engine_servers.compared(WEIGHTS / "expert", prompts_of, scale.num_output, scale.repeats)
    figures |= _speculation(scale.num_tasks)
    publish(
        "engine",
        figures,
        chosen,
        f"expert, fp32, one thread, {scale.num_output} output tokens, output tokens per CPU s",
    )


def _compared(prompts: Prompts, concurrency: int, scale: Scale) -> Figures:
    arms: dict[str, Callable[[Prompts, int], float]] = {
        "ours": _Ours().rate,
        "transformers": engine_peers.Continuous(WEIGHTS / "expert").rate,
        "static": engine_peers.Static(WEIGHTS / "expert").rate,
    }
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for rate in arms.values():
        rate(prompts, 4)
    for _ in range(scale.repeats):  # in turn, so that a noisy minute hits everybody
        for name, rate in arms.items():
            rates[name].append(rate(prompts, scale.num_output))
    best = {name: float(np.median(found)) for name, found in rates.items()}
    figures: Figures = {f"{name}_{concurrency}": value for name, value in best.items()}
    figures[f"vs_transformers_{concurrency}"] = best["ours"] / best["transformers"]
    figures[f"vs_static_{concurrency}"] = best["ours"] / best["static"]
    return figures


class _Ours:
    """The engine without its sockets, stepped by hand."""

    def __init__(self, **more: object) -> None:
        settings = EngineSettings(WEIGHTS / "expert", max_cached_tokens=0, **more)  # type: ignore[arg-type]  # as given
        self._tokenizer = Tokenizer.from_folder(settings.weights)
        self._numbers = itertools.count()
        self.engine: Engine = build(settings, "bench", self._tokenizer, lambda _: None)[0]

    def rate(self, prompts: Prompts, num_output: int) -> float:
        """Output tokens per CPU second of all of them at once."""
        for prompt in prompts:
            self._submit(prompt, num_output, ends=False)
        began_s = time.process_time()
        self.finish()
        return len(prompts) * num_output / (time.process_time() - began_s)

    def decode_rate(self, prompts: Prompts, num_output: int) -> float:
        """Output tokens per CPU second of decode steps, one request after the other, until each ends."""
        tokens, seconds = 0, 0.0
        for prompt in prompts:
            self._submit(prompt, num_output, ends=True)
            self.engine.take_messages()
            while True:
                before, began_s = self.engine.counters.generated_tokens, time.process_time()
                plan = self.engine.step()
                if not plan.has_work:
                    break
                if not plan.prefill:
                    seconds += time.process_time() - began_s
                    tokens += self.engine.counters.generated_tokens - before
        return tokens / seconds

    def finish(self) -> None:
        self.engine.take_messages()
        while self.engine.step().has_work:
            pass

    def _submit(self, prompt: list[int], num_output: int, *, ends: bool) -> None:
        greedy = Sampling(temperature=0.0)
        name = f"r{next(self._numbers)}"
        request = Request(name, tuple(prompt), num_output, greedy, ignore_eos=not ends, stream=True)
        self.engine.submit(Sequence(request, TextStream(self._tokenizer.decode, ()), time.monotonic()))


def _prompts(count: int) -> Prompts:
    draw = random.Random(count)
    return [[1, *(draw.randrange(6, 500) for _ in range(draw.randrange(32, 128)))] for _ in range(count)]


def _speculation(num_tasks: int) -> Figures:
    """Adaptive and fixed drafting against none; answers are the same, so are the tokens."""
    rows = [json.loads(line) for line in (WEIGHTS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = Tokenizer.from_folder(WEIGHTS / "expert")
    tasks = [tokenizer.encode_chat(row["messages"]) for row in rows if row["family"] == "notes"][:num_tasks]
    drafting = {"drafting": "draft_model", "draft_weights": WEIGHTS / "scout"}
    plain, fixed, adaptive = _Ours(), _Ours(**drafting, draft_adapts=False), _Ours(**drafting)
    rates = []
    for one in (plain, fixed, adaptive):
        one.decode_rate(tasks[:8], 24)
        rates.append(one.decode_rate(tasks, 24))
    counters = fixed.engine.counters
    return {
        "speculation_speedup": rates[1] / rates[0],
        "speculation_speedup_adaptive": rates[2] / rates[0],
        "acceptance": counters.draft_accepted / counters.draft_proposed,
    }


if __name__ == "__main__":
    main()
