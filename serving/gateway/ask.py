"""The client's request: checked where the gateway must understand it, and kept as it came where it need not."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from serving.gateway.replies import ApiError, invalid_request
from serving.routing._types import RequestFeatures

Operation = Literal["chat", "text_completion"]
PATHS: dict[Operation, str] = {"chat": "/v1/chat/completions", "text_completion": "/v1/completions"}

_PATH = re.compile(r"`\$\.([^`]+)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")


# bounded, because a number over 64 bits in a span attribute costs the whole batch of spans
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    """The fields of both endpoints that decide something here; all others pass through unseen."""

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Number | None = None
    max_completion_tokens: _Number | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    n: int | None = None
    best_of: int | None = None
    user: str | None = None
    priority: _Number | None = None


class _ChatBody(_Body, kw_only=True):
    messages: list[_Message]


class _CompletionBody(_Body, kw_only=True):
    prompt: str | list[Any]


_DECODERS: dict[Operation, msgspec.json.Decoder[Any]] = {
    "chat": msgspec.json.Decoder(_ChatBody),
    "text_completion": msgspec.json.Decoder(_CompletionBody),
}
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")


@dataclass(frozen=True, slots=True)
class Ask:
    """One checked request. ``fields`` are the top-level JSON values as sent; ``include_usage``: the client wants the
    usage chunk of a stream."""

    operation: Operation
    fields: dict[str, msgspec.Raw]
    body: Any
    model: str
    streamed: bool
    include_usage: bool

    @property
    def max_tokens(self) -> int | None:
        """The client's limit on output tokens under either of its names."""
        limit: int | None = self.body.max_completion_tokens or self.body.max_tokens
        return limit

    @property
    def is_deterministic(self) -> bool:
        """Whether the same request has the same answer: greedy or seeded, and one answer only."""
        single = (self.body.n or 1) == 1 and (self.body.best_of or 1) == 1
        return single and (self.body.temperature == 0 or self.body.seed is not None)

    def upstream_body(self, model: str) -> bytes:
        """The body for a backend: its own model name, and usage at the end of a stream in any case."""
        fields = {**self.fields, "model": msgspec.Raw(msgspec.json.encode(model))}
        if self.streamed:
            given = msgspec.json.decode(fields.get("stream_options", b"null")) or {}
            fields["stream_options"] = msgspec.Raw(msgspec.json.encode({**given, "include_usage": True}))
        return msgspec.json.encode(fields)

    def parameters(self) -> dict[str, Any]:
        """The whole body, decoded."""
        return {name: msgspec.json.decode(value) for name, value in self.fields.items()}

    def features(self) -> RequestFeatures:
        """What a routing policy may look at."""
        texts = self._texts()
        return RequestFeatures(
            model=self.model,
            prompt_chars=sum(len(text) for _, text in texts),
            last_user_text=next((text for role, text in reversed(texts) if role == "user"), ""),
            max_tokens=self.max_tokens,
            streamed=self.streamed,
        )

    def _texts(self) -> list[tuple[str, str]]:
        if self.operation == "text_completion":
            return [("user", _prompt_text(self.body.prompt))]
        return [(message.role, _content_text(message.content)) for message in self.body.messages]


def parse(raw: bytes, operation: Operation) -> Ask:
    """The request in ``raw``. Raises ``ApiError`` (400) that names the field."""
    try:
        body = _DECODERS[operation].decode(raw)
        fields = _FIELDS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_body(str(error)) from None
    if operation == "chat" and not body.messages:
        raise invalid_request("messages must not be empty", param="messages")
    options = body.stream_options
    return Ask(
        operation=operation, fields=fields, body=body, model=body.model, streamed=bool(body.stream),
        include_usage=bool(options and options.include_usage),
    )  # fmt: skip


def _bad_body(message: str) -> ApiError:
    names = [match.group(1) for pattern in (_PATH, _MISSING) if (match := pattern.search(message))]
    return invalid_request(f"the request body cannot be used: {message}", ".".join(names) or None)


def _content_text(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.text)
    return content or ""


def _prompt_text(prompt: str | list[Any]) -> str:
    if isinstance(prompt, list):
        return "\n".join(text for text in prompt if isinstance(text, str))
    return prompt
