"""What one caller asked for, after validation: token ids in, limits and sampling; never changes afterwards."""

from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int | None = None
    num_logprobs: int | None = None
    """None: none wanted. 0: of the drawn token only. n: of the n likeliest as well."""


@dataclass(frozen=True, slots=True)
class Request:
    """One validated generation request."""

    id: str
    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    stream: bool = False
    priority: int = 0
    """Lower is earlier (vLLM's convention); policies may use it."""
    salt: str = ""
    """Prefixes are reused only among requests with the same salt."""
    semantic_reuse: bool = True
    """Whether it may take states of alike chunks from other places, where the engine does that."""
    exit_threshold: float | None = None
    """Confidence at which its decoded tokens skip the later layers; None: never."""

    @property
    def num_prompt_tokens(self) -> int:
        """Positions of the prompt."""
        return len(self.prompt)

    @property
    def num_reserved_positions(self) -> int:
        """KV positions that admission sets aside, so that no running request is ever out of memory."""
        return len(self.prompt) + self.max_tokens
