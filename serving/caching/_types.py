"""What a response cache is asked and what it keeps. Clocks stay outside: every call that needs the time is given it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

MAX_ANSWER_BYTES: Final = 256 * 1024  # bounds the memory of a full cache: entries × this


@dataclass(frozen=True, slots=True)
class Question:
    """A request as a cache sees it.

    ``parameters`` is the whole decoded body; ``deterministic``: the same request has the same answer (greedy or
    seeded, one answer).
    """

    tenant: str
    operation: str
    parameters: Mapping[str, Any]
    deterministic: bool


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A finished, successful answer as one JSON body. ``tier`` is the class of the backend that gave it."""

    body: bytes
    tier: str


class ResponseCache(Protocol):
    """What every ``Cache`` of this folder offers; built with ``max_entries`` and ``ttl_s``.

    ``kind`` is what a hit is called in telemetry (``exact``, ``semantic``).
    """

    kind: str

    def __init__(self, max_entries: int, ttl_s: float) -> None: ...

    def key(self, question: Question) -> str | None:
        """What this question is kept under; None when it is not cacheable. Never leaves the process."""
        ...

    def find(self, key: str, now_s: float) -> StoredAnswer | None:
        """The answer kept under ``key`` if it is not too old at ``now_s`` (monotonic seconds)."""
        ...

    def keep(self, key: str, answer: StoredAnswer, now_s: float) -> None:
        """Keep ``answer``; may drop older ones."""
        ...
