"""An engine without a thread: tests submit, step and cancel in the order they choose."""

import itertools
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import Any

from serving.engine.construction import build
from serving.engine.loop import Delivery
from serving.engine.request import Request, Sampling
from serving.engine.sequence import Sequence, State
from serving.engine.settings import EngineSettings
from serving.engine.text import TextStream
from serving.engine.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0.0)


class Stepped:
    """The real engine on a real checkpoint, stepped by hand."""

    def __init__(self, folder: Path, **options: Any) -> None:
        settings = EngineSettings(weights=folder, **{"max_num_seqs": 16, "max_num_batched_tokens": 64, **options})
        self.tokenizer = Tokenizer.from_folder(folder)
        self.delivered: Delivery = []
        self.engine, self.intake = build(settings, "test", self.tokenizer, self.delivered.extend)
        self._numbers = itertools.count()

    def submit(self, prompt: SequenceOf[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any) -> Sequence:
        fields = {"ignore_eos": True, **fields}
        request = Request(f"r{next(self._numbers)}", tuple(prompt), max_tokens, sampling, **fields)
        sequence = Sequence(request, TextStream(self.tokenizer.decode, request.stop), arrived_s=0.0)
        self.engine.submit(sequence)
        return sequence

    def step(self) -> bool:
        """One step; whether it had work."""
        self.engine.take_messages()
        return self.engine.step().has_work

    def finish(self) -> None:
        """Step until nothing is left to do."""
        while self.step():
            pass

    def generate(self, prompt: SequenceOf[int], max_tokens: int, sampling: Sampling = GREEDY) -> list[int]:
        """The tokens of one request that runs alone."""
        sequence = self.submit(prompt, max_tokens, sampling)
        self.finish()
        return tokens(sequence)


def tokens(sequence: Sequence) -> list[int]:
    """Output ids of a request that was answered."""
    assert sequence.state is State.DONE, sequence.state
    assert sequence.outcome == "answered"
    return [token.id for token in sequence.output]
