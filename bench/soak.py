"""Does the engine grow, leak or stall, and what does its loop cost? ``python -m bench.soak [--quick]``

Accelerated: as many requests as two hours at one a second, small ones, as fast as the CPU takes them, at most 64 in
the engine at once. All kinds mixed: shared beginnings, the same texts elsewhere, drafts, cancels at any time, a KV
budget that is too small. Resident memory is read when a tenth is done, when everything that grows to a limit has
grown, and at the end; slots, positions and blocks are checked whenever nothing runs. The loop's share is the CPU time
of steps of 32 decoding requests outside the device side (``runner``): planning, text, counters, deliveries.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
import torch

from bench.result import options, publish
from serving.engine.construction import build
from serving.engine.loop import Delivery, Engine
from serving.engine.request import Request, Sampling
from serving.engine.sequence import Sequence
from serving.engine.settings import EngineSettings, SemanticReuse
from serving.engine.text import TextStream
from serving.engine.tokenizer import Tokenizer

WEIGHTS = Path(__file__).parents[1] / "serving" / "weights"
AT_ONCE = 64
GROUP = 240
"""Requests between two moments at which everything is answered."""


@dataclass(slots=True)
class Soaked:
    """What came of the requests."""

    answered: int = 0
    cancelled: int = 0
    other: int = 0


class Stream:
    """Requests of all kinds, the same for the same seed."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._draw = Random(1)
        self._texts = [[self._draw.randrange(6, 500) for _ in range(48)] for _ in range(40)]
        self.count = 0

    def submit(self) -> Sequence:
        """The next one."""
        draw = self._draw
        prompt = [1, *(token for text in draw.sample(self._texts, draw.randrange(1, 4)) for token in text)]
        sampling = Sampling(temperature=draw.choice((0.0, 1.0)), seed=self.count)
        request = Request(
            f"r{self.count}", tuple(prompt[: draw.randrange(2, len(prompt))]), draw.randrange(1, 12), sampling,
            stream=True, priority=draw.randrange(2), salt=draw.choice(("a", "b")),
        )  # fmt: skip
        sequence = Sequence(request, TextStream(self._tokenizer.decode, ()), time.monotonic())
        self._engine.submit(sequence)
        if draw.random() < 0.1:
            self._engine.cancel(f"r{max(0, self.count - draw.randrange(AT_ONCE))}")
        self.count += 1
        return sequence


def main() -> None:
    """Soak ``scout``, then time the loop."""
    chosen = options(__doc__)
    torch.set_num_threads(1)
    num_requests = 1_200 if chosen.quick else 7_200
    tokenizer, soaked = Tokenizer.from_folder(WEIGHTS / "scout"), Soaked()
    engine = build(_settings(), "soak", tokenizer, lambda delivery: _count(delivery, soaked))[0]
    stream, resident_mb = Stream(engine, tokenizer), list[float]()
    while stream.count < num_requests:
        _group(engine, stream)
        resident_mb.append(psutil.Process().memory_info().rss / 1e6)
    assert soaked.answered + soaked.cancelled == stream.count, "every request is answered or cancelled"
    early = resident_mb[len(resident_mb) // 10]
    figures: dict[str, float | str | None] = {
        "requests": float(stream.count),
        "answered": float(soaked.answered),
        "cancelled": float(soaked.cancelled),
        "other_outcomes": float(soaked.other),
        "preemptions": float(engine.counters.preemptions),
        "semantic_reuse_tokens": float(engine.counters.semantic_reuse_tokens),
        "resident_mb_at_a_tenth": early,
        "resident_mb_at_the_end": resident_mb[-1],
        "growth_mb": resident_mb[-1] - early,
    }
    figures |= {f"loop_share_{name}": loop_share(WEIGHTS / name) for name in ("scout", "expert")}
    publish("soak", figures, chosen, "one thread, requests of 2 to 145 prompt and 1 to 11 output tokens")


def _settings() -> EngineSettings:
    return EngineSettings(
        WEIGHTS / "scout", batching="token_aware", max_kv_tokens=2_400, max_cached_tokens=1_600,
        drafting="prompt_lookup",
        semantic_reuse=SemanticReuse(recompute=0.2, bound=1.0, verify_every=8),
    )  # fmt: skip


def _group(engine: Engine, stream: Stream) -> None:
    """Submit a group, never more than ``AT_ONCE`` ahead, and step until the engine is idle and has checked itself."""
    sequences = list[Sequence]()
    while len(sequences) < GROUP:
        open_now = sum(one.outcome is None for one in sequences)
        sequences += [stream.submit() for _ in range(min(AT_ONCE - open_now, GROUP - len(sequences)))]
        engine.take_messages()
        engine.step()
    engine.take_messages()
    while engine.step().has_work:
        engine.take_messages()


def _count(delivery: Delivery, soaked: Soaked) -> None:
    for _, delta in delivery:
        soaked.answered += delta.outcome == "answered"
        soaked.cancelled += delta.outcome == "cancelled"
        soaked.other += delta.outcome in ("failed", "refused")


def loop_share(weights: Path, num_output: int = 96, at_once: int = 32) -> float:
    """Share of the CPU time of decode steps that is not the device side's."""
    tokenizer = Tokenizer.from_folder(weights)
    engine = build(EngineSettings(weights, max_cached_tokens=0, max_num_batched_tokens=4096), "loop", tokenizer, _drop)[
        0
    ]
    device_s = 0.0
    runs = engine._runner.run

    def timed(*work: object) -> object:
        nonlocal device_s
        began_s = time.process_time()
        said = runs(*work)  # type: ignore[arg-type]  # passed on as they came
        device_s += time.process_time() - began_s
        return said

    engine._runner.run = timed  # type: ignore[assignment,method-assign]  # only timed
    draw = Random(2)
    for number in range(at_once):
        prompt = (1, *(draw.randrange(6, 500) for _ in range(100)))
        request = Request(f"r{number}", prompt, num_output, Sampling(temperature=0.0), ignore_eos=True, stream=True)
        engine.submit(Sequence(request, TextStream(tokenizer.decode, ()), time.monotonic()))
    engine.take_messages()
    engine.step()
    device_s, began_s = 0.0, time.process_time()
    while engine.step().has_work:
        pass
    return 1 - device_s / (time.process_time() - began_s)


def _drop(_delivery: Delivery) -> None:
    """Nobody listens."""


if __name__ == "__main__":
    main()
