"""Request bodies of the OpenAI API, as far as this engine understands them.

Fields that do not change the answer (``user``, ``metadata`` …) are ignored; fields that would change it and are not
implemented are refused by ``intake``, never ignored.
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from serving.engine.api.problems import Problem, invalid

B = TypeVar("B", bound="Body")

Positive = Annotated[int, Meta(ge=1)]
MAX_STOPS = 16
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_FIELD = re.compile(r"field `([^`]+)`")


class StreamOptions(Struct):
    """What a stream carries besides text."""

    include_usage: bool = False


class Body(Struct, kw_only=True):
    """What both endpoints share."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    ignore_eos: bool = False
    priority: int = 0
    cache_salt: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    early_exit: Annotated[float, Meta(ge=0)] | None = None
    """Confidence at which a token skips the later layers; above 1: never. Absent: as the engine is set."""
    semantic_reuse: bool = True
    """False: compute the prompt, whatever alike chunks the cache holds."""
    n: Positive | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings, none of them empty."""
        listed = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in listed if text)


class ContentPart(Struct):
    """One part of a message; only text is understood."""

    type: str
    text: str | None = None


class ChatMessage(Struct):
    """One turn."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None


class ChatBody(Body, kw_only=True):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Any] | None = None
    response_format: dict[str, Any] | None = None


class CompletionBody(Body, kw_only=True):
    """``POST /v1/completions``."""

    prompt: str | list[Any]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool = False
    best_of: Positive | None = None
    suffix: str | None = None


def read(body: bytes, kind: type[B]) -> B:
    """The body as ``kind``. Raises ``Problem`` (400) naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error).replace("`$.", "`"), _field(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body is not JSON: {error}", code="invalid_json") from None


def _field(message: str) -> str | None:
    """``Expected `int`, got `str` - at `$.max_tokens``` → ``max_tokens``."""
    if path := _PATH.search(message):
        return path.group(1) or None
    missing = _FIELD.search(message)
    return missing.group(1) if missing else None
