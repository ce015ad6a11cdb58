"""What an event says about the model call it belongs to, be it a log record or an event of the span itself.

Sources: semantic-conventions-genai, 2026 (``gen_ai.client.inference.operation.details``, ``….operation.exception``),
semantic-conventions 1.36 (``gen_ai.choice``); first tokens as OpenInference 0.1.66 and OpenLLMetry 0.62 name them.
"""

from collections.abc import Mapping
from typing import Any, Final

from collector.normalising import coercion
from collector.normalising.seen import Fields
from collector.normalising.values import Attributes
from collector.normalising.vocabulary import Field, read
from conventions import attributes as names

FIRST_TOKEN_EVENTS: Final = frozenset(
    {"First Token Stream Event", "gen_ai.content.completion.chunk", "llm.content.completion.chunk"}
)
"""OpenLLMetry has one per chunk: the first counts."""
TELLING: Final = (
    Field("error_type", coercion.name, (names.ERROR_TYPE, names.EXCEPTION_TYPE)),
    Field("finish_reason", coercion.reason, (names.FINISH_REASONS, "finish_reason")),
    Field("ttft_s", coercion.seconds, (names.TIME_TO_FIRST_CHUNK, names.LATENCY_TTFT)),
)
STREAMED: Final = (Field("streamed", coercion.flag, (names.REQUEST_STREAM,)),)


def told(name: str, attributes: Attributes, body: Any = None) -> Fields:
    """``error_type``, ``finish_reason``, ``ttft_s``, ``is_first_token``, ``streamed``; empty if none of the first four.

    What was read is taken out of ``attributes``. Of a body only a choice's finish reason is read.
    """
    fields = read(attributes, TELLING)
    if name == names.CHOICE_EVENT and isinstance(body, Mapping) and "finish_reason" not in fields:
        reason = coercion.reason(body.get("finish_reason"))
        fields |= {"finish_reason": reason} if reason else {}
    if name in FIRST_TOKEN_EVENTS:
        fields |= {"is_first_token": True, "streamed": True}
    return {**read(attributes, STREAMED), **fields} if fields else {}
