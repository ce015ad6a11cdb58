"""What both endpoints' answers share: the envelope, the usage object, and the role a writer fills."""

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.engine.sequence import Delta, Sequence
from serving.engine.tokenizer import Tokenizer

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one answer repeats."""

    id: str
    model: str
    tokenizer: Tokenizer
    created: int = field(default_factory=lambda: int(time.time()))

    def wrap(self, kind: str, choices: list[Json], usage: Json | None = None) -> Json:
        """One object of the answer."""
        body: Json = {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}
        return body if usage is None else {**body, "usage": usage}


class Writer(Protocol):
    """Spells one answer in one endpoint's shapes; it may keep state between chunks."""

    chunk_kind: str

    def whole(self, sequence: Sequence) -> Json:
        """The object of a request that does not stream."""
        ...

    def chunks(self, sequence: Sequence, delta: Delta) -> list[Json]:
        """The stream objects that one delta makes; none when it shows nothing yet."""
        ...


def usage(sequence: Sequence) -> Json:
    """Token counts of an answer; end tokens count as output."""
    num_prompt, num_output = sequence.request.num_prompt_tokens, len(sequence.output)
    counted: Json = {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_output,
        "total_tokens": num_prompt + num_output,
        "prompt_tokens_details": {"cached_tokens": sequence.num_cached},
    }
    if sequence.num_reused:
        counted["prompt_tokens_details"]["semantic_tokens"] = sequence.num_reused
    if sequence.request.exit_threshold is not None:
        counted["completion_tokens_details"] = {"early_exit_tokens": sequence.exit_tokens}
    return counted
