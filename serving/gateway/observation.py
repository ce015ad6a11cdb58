"""What a backend's answer says about itself: id, model, usage, finish reasons and when its first content came."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from serving.gateway import sse

SUCCESSFUL_FINISHES = frozenset({"stop", "length", "tool_calls"})


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None


class _Content(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Content | None = None
    text: str | None = None
    finish_reason: str | None = None

    def has_content(self) -> bool:
        delta = self.delta
        if delta is None:
            return bool(self.text)
        return bool(delta.content or delta.reasoning_content or delta.reasoning or delta.tool_calls)


class _Answer(msgspec.Struct):
    """A chunk of a stream or a whole answer: the same fields matter in both."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class Observation:
    """Filled while the answer passes. ``first_content_at``: monotonic seconds, streams only."""

    response_id: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    finishes: dict[int, str] = field(default_factory=dict)
    first_content_at: float | None = None
    done: bool = False
    error: bool = False

    @property
    def is_success(self) -> bool:
        """A complete answer with a finish reason that counts, and no error inside."""
        good = bool(self.finishes) and all(reason in SUCCESSFUL_FINISHES for reason in self.finishes.values())
        return self.done and good and not self.error

    def see_body(self, body: bytes) -> None:
        """Take in a whole answer. Raises ``msgspec.DecodeError`` when it is not one."""
        self._take(_DECODER.decode(body))
        self.done = True

    def see_event(self, event: bytes, now_s: float) -> bool:
        """Take in one event of a stream that arrived at ``now_s``; True when it carries usage and nothing else."""
        data = sse.payload(event)
        if data == sse.DONE:
            self.done = True
            return False
        try:
            answer = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False  # a comment or a vendor's own event: passed on, not understood
        self._take(answer)
        if self.first_content_at is None and any(choice.has_content() for choice in answer.choices or ()):
            self.first_content_at = now_s
        return answer.usage is not None and not answer.choices and answer.error is None

    def _take(self, answer: _Answer) -> None:
        self.response_id = self.response_id or answer.id
        self.model = self.model or answer.model
        self.error = self.error or answer.error is not None
        for choice in answer.choices or ():
            if choice.finish_reason is not None:
                self.finishes[choice.index] = choice.finish_reason
        if answer.usage is not None:
            self._take_usage(answer.usage)

    def _take_usage(self, usage: _Usage) -> None:
        self.input_tokens, self.output_tokens = usage.prompt_tokens, usage.completion_tokens
        if usage.prompt_tokens_details is not None:
            self.cached_tokens = usage.prompt_tokens_details.cached_tokens
