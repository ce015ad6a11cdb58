"""What do early exit and semantic reuse spare, and what do they cost in answers? ``python -m bench.thoughts [--quick]``

Early exit: held-out tasks of ``serving/weights`` at some thresholds, 1 and 32 at once, greedy: answers that are right,
decoded tokens that left early, layers skipped, CPU seconds of the decode steps. Joules are those CPU seconds times
``WATTS_PER_CORE``, an estimate that ranks and does not measure. Semantic reuse: a listing that an earlier prompt had
elsewhere, by the share that is computed again: how often the next token and the answer differ from full computation.
"""

import itertools
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.result import Options, options, publish
from serving.engine.construction import build
from serving.engine.loop import Engine
from serving.engine.request import Request, Sampling
from serving.engine.semantic import CHECKED_AT_FIRST, compared
from serving.engine.sequence import Sequence as Running
from serving.engine.settings import EngineSettings, SemanticReuse
from serving.engine.text import TextStream
from serving.engine.tokenizer import Tokenizer

WEIGHTS = Path(__file__).parents[1] / "serving" / "weights"
WATTS_PER_CORE = 5.0
"""Of a busy server core beyond idle: 150 to 200 W of a 32-core package at load. A scale, not a measurement."""
THRESHOLDS = (None, 0.99, 0.9, 0.7, 0.0)
CONCURRENCIES = (1, 32)
SHARES = (0.0, 0.15, 0.3, 0.6)
EVERY = 1_000_000
"""More tokens than any vocabulary has."""
Figures = dict[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """One held-out question."""

    prompt: list[int]
    answer: str
    max_tokens: int
    difficulty: str


class Served:
    """The engine without its sockets, stepped by hand."""

    def __init__(self, folder: Path, **settings: object) -> None:
        chosen = EngineSettings(folder, **settings)  # type: ignore[arg-type]  # as given
        self.tokenizer = Tokenizer.from_folder(folder)
        self.engine: Engine = build(chosen, "bench", self.tokenizer, lambda _: None)[0]
        self.decode_cpu_s = 0.0
        self.prefill_cpu_s = 0.0
        self.num_logprobs: int | None = None
        self._numbers = itertools.count()

    def submit(self, prompt: Sequence[int], max_tokens: int, **fields: object) -> Running:
        """Queue a greedy request."""
        sampling = Sampling(temperature=0.0, num_logprobs=self.num_logprobs)
        request = Request(f"r{next(self._numbers)}", tuple(prompt), max_tokens, sampling, **fields)  # type: ignore[arg-type]  # as given
        sequence = Running(request, TextStream(self.tokenizer.decode, ()), time.monotonic())
        self.engine.submit(sequence)
        return sequence

    def finish(self) -> None:
        """Step until nothing is left; CPU seconds go to decode when a step has no prompt."""
        self.engine.take_messages()
        while True:
            began_s = time.process_time()
            plan = self.engine.step()
            spent_s = time.process_time() - began_s
            if not plan.has_work:
                return
            if plan.prefill:
                self.prefill_cpu_s += spent_s
            else:
                self.decode_cpu_s += spent_s


def main() -> None:
    """Both, on ``expert``."""
    chosen = options(__doc__)
    torch.set_num_threads(1)
    figures = semantic_reuse(8 if chosen.quick else 48)
    if (WEIGHTS / "expert" / "exits" / "model.safetensors").is_file():
        figures |= early_exit(WEIGHTS / "expert", tasks(WEIGHTS, 80 if chosen.quick else 400))
    _publish(figures, chosen)


def _publish(figures: Figures, chosen: Options) -> None:
    publish("thoughts", figures, chosen, f"expert, fp32, one thread; joules estimated at {WATTS_PER_CORE} W per core")


def tasks(weights: Path, count: int) -> list[Task]:
    """Held-out questions as prompts."""
    tokenizer = Tokenizer.from_folder(weights / "expert")
    rows = [json.loads(line) for line in (weights / "heldout.jsonl").read_text(encoding="utf-8").splitlines()][:count]
    return [
        Task(tokenizer.encode_chat(row["messages"]), row["answer"], row["max_tokens"], row["difficulty"])
        for row in rows
    ]


def early_exit(folder: Path, asked: Sequence[Task]) -> Figures:
    """By threshold and by requests at once."""
    figures: Figures = {}
    for at_once, threshold in itertools.product(CONCURRENCIES, THRESHOLDS):
        served = Served(folder, max_num_seqs=at_once, max_cached_tokens=0, max_num_batched_tokens=2048)
        _answered(served, asked[: 2 * at_once], threshold, at_once)
        served.decode_cpu_s = 0.0
        answers = _answered(served, asked, threshold, at_once)
        decoded = sum(len(one.output) - 1 for one in answers)
        right = [one.answer == task.answer for one, task in zip(answers, asked, strict=True)]
        name = f"exit_{'off' if threshold is None else threshold}_at_{at_once}"
        figures |= {
            f"{name}_right_easy": _sum(right, asked, "easy"),
            f"{name}_right_hard": _sum(right, asked, "hard"),
            f"{name}_left_early_share": sum(one.exit_tokens for one in answers) / decoded,
            f"{name}_layers_skipped_share": sum(one.exit_skipped for one in answers) / decoded,
            f"{name}_tokens_per_cpu_s": decoded / served.decode_cpu_s,
            f"{name}_mj_per_token_estimated": 1000 * WATTS_PER_CORE * served.decode_cpu_s / decoded,
        }
    return figures


def _answered(served: Served, asked: Sequence[Task], threshold: float | None, at_once: int) -> list[Running]:
    """In groups whose prompts fit in one step, so that the others decode and nothing else."""
    sequences = []
    for start in range(0, len(asked), at_once):
        for task in asked[start : start + at_once]:
            sequences.append(served.submit(task.prompt, task.max_tokens, exit_threshold=threshold))
        served.finish()
    return sequences


def _sum(right: Iterable[bool], asked: Sequence[Task], difficulty: str) -> float:
    return float(sum(one for one, task in zip(right, asked, strict=True) if task.difficulty == difficulty))


def semantic_reuse(count: int, num_output: int = 12) -> Figures:
    """By the share computed again, on pairs of prompts that have several listings in another order."""
    pairs = _pairs(count)
    figures: Figures = {}
    full = Served(WEIGHTS / "expert", max_cached_tokens=0)
    expected = _asked(full, [second for _, second in pairs], num_output)
    figures["reuse_off_prefill_cpu_ms"] = 1000 * full.prefill_cpu_s / count
    for share in SHARES:
        found = Served(
            WEIGHTS / "expert", max_cached_tokens=65_536,
            semantic_reuse=SemanticReuse(recompute=share, verify_every=10**9, bound=1.0),
        )  # fmt: skip
        _asked(found, [first for first, _ in pairs], 1, semantic_reuse=False)
        semantic = found.engine._semantic  # told to trust, so that nothing but reuse is measured
        assert semantic is not None
        for _ in range(CHECKED_AT_FIRST):
            semantic.trust.learn(False, 0.0)
        found.prefill_cpu_s = 0.0
        got = _asked(found, [second for _, second in pairs], num_output)
        figures |= _errors(f"reuse_{share}", expected, got)
        figures[f"reuse_{share}_prefill_cpu_ms"] = 1000 * found.prefill_cpu_s / count
    return figures


def _pairs(count: int) -> list[tuple[list[int], list[int]]]:
    """Eight held-out exercises as one text, and again in another order behind a ninth, with a question at the end."""
    tokenizer = Tokenizer.from_folder(WEIGHTS / "expert")
    rows = [json.loads(line) for line in (WEIGHTS / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [row["messages"][0]["content"] for row in rows]
    pairs = []
    for number in range(count):
        *shared, other, question = random.Random(number).sample(texts, 10)
        orders = ([*shared, question], [other, *shared[4:], *shared[:4], question])
        first, second = (tokenizer.encode_chat([{"role": "user", "content": " ".join(one)}]) for one in orders)
        pairs.append((first, second))
    return pairs


def _errors(name: str, expected: Sequence[Running], got: Sequence[Running]) -> Figures:
    """Against full computation."""
    checks = [compared(_first(full), _first(near)) for full, near in zip(expected, got, strict=True)]
    same = [full.answer == near.answer for full, near in zip(expected, got, strict=True)]
    prompts = sum(one.request.num_prompt_tokens for one in got)
    return {
        f"{name}_reused_share": sum(one.num_reused for one in got) / prompts,
        f"{name}_next_token_differs_share": sum(differs for differs, _ in checks) / len(checks),
        f"{name}_divergence_nats": sum(divergence for _, divergence in checks) / len(checks),
        f"{name}_answer_differs_share": 1 - sum(same) / len(same),
    }


def _first(sequence: Running) -> torch.Tensor:
    """The distribution that the first token came from."""
    top = dict(sequence.output[0].top)
    return torch.tensor([top[token] for token in range(len(top))])


def _asked(served: Served, prompts: Sequence[list[int]], num_output: int, **fields: object) -> list[Running]:
    """One after the other: with logits of the first token."""
    sequences, served.num_logprobs = [], EVERY
    for prompt in prompts:
        sequences.append(served.submit(prompt, num_output, **fields))
        served.finish()
    return sequences


if __name__ == "__main__":
    main()
