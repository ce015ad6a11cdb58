"""What a scenario hands over: every request of a run, its time and its bytes, before anything is sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_PLAN_BYTES = 256 * 1024 * 1024
"""Bodies are encoded before the run so that the send path does no work; they must fit into memory."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request: seconds after the start of the run, JSON body, whose key sends it, the right answer if known."""

    at_s: float
    body: bytes
    model: str
    stream: bool
    max_tokens: int | None = None
    key: str | None = field(default=None, repr=False)
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests in order of time; ``notes`` say what a reader of the figures must know (what was cut, repeated …)."""

    requests: tuple[PlannedRequest, ...]
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Time of the last request, seconds."""
        return self.requests[-1].at_s if self.requests else 0.0

    @property
    def num_bytes(self) -> int:
        """Size of all bodies."""
        return sum(len(request.body) for request in self.requests)


class Scenario(Protocol):
    """A file of ``scenarios/``: a dataclass whose fields are its settings, with the same plan for the same settings."""

    def plan(self) -> Plan:
        """Every request of the run. Pure but for reading the files its settings name.

        Raises ``ValueError`` for settings that contradict each other, ``TraceFormatError`` for a file with a bad row.
        """
        ...


def chat_body(
    model: str, messages: list[dict[str, str]], *, stream: bool, max_tokens: int, **extra: Any
) -> bytes:  # fmt: skip
    """The JSON of a greedy ``/v1/chat/completions`` request; a streamed one asks for usage in its last chunk."""
    payload: Mapping[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **extra,
    }
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
