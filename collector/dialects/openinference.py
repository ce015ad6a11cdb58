"""OpenInference (Arize) instrumentations: spans of kind ``LLM``; chains, tools, agents and embeddings are no calls.

What was asked for (model, user, streaming) stands in the JSON of the call's parameters, the first token in a span
event. ``llm.model_name`` is the model that answered, so a call that failed has none. No operation is sent: text
completions have ``llm.prompts``. Read in openinference-instrumentation-openai 0.1.66.
"""

import json
from typing import Any

from collector.normalising import coercion
from collector.normalising.rules import complete
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.values import Attributes
from collector.normalising.vocabulary import CALL, OURS, Field, read

KIND = "openinference.span.kind"
PARAMETERS = "llm.invocation_parameters"
FIELDS = (
    Field("provider", coercion.folded, ("llm.provider", "llm.system")),
    Field("model_requested", coercion.name, ("llm.request.model_name",)),
    Field("model_served", coercion.name, ("llm.response.model_name", "llm.model_name")),
    Field("input_tokens", coercion.count, ("llm.token_count.prompt",)),
    Field("output_tokens", coercion.count, ("llm.token_count.completion",)),
    Field(
        "cached_input_tokens",
        coercion.count,
        ("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
    ),
    Field("cache_write_tokens", coercion.count, ("llm.token_count.prompt_details.cache_write",)),
    Field("reasoning_tokens", coercion.count, ("llm.token_count.completion_details.reasoning",)),
    Field("finish_reason", coercion.reason, ("llm.finish_reason",)),
    Field("cost", coercion.real, ("llm.cost.total",)),
)
SPOKEN = OURS + CALL


class Dialect:
    """Spans that OpenInference marks as a call of a model."""

    rank = 40

    def recognises(self, span: SeenSpan) -> bool:
        """The kind ``LLM``."""
        return bool(span.attributes.get(KIND) == "LLM")

    def normalise(self, span: SeenSpan) -> Fields:
        """Canonical names where the span has them too, OpenInference's else."""
        asked = _parameters(span.attributes.get(PARAMETERS))
        fields = {**_from(asked), **read(span.attributes, FIELDS)}
        fields = {**fields, **read(span.attributes, SPOKEN), "role": "client"}
        if "model_served" in fields:
            fields.setdefault("model_requested", fields["model_served"])
        fields.setdefault("operation", "text_completion" if _has_prompts(span.attributes) else "chat")
        if "stream" in asked:
            fields.setdefault("streamed", asked["stream"] is True)
        complete(span, fields)
        fields.setdefault("streamed", False)
        return fields


def _from(asked: dict[str, Any]) -> Fields:
    found = {"model_requested": coercion.name(asked.get("model")), "user_id": coercion.name(asked.get("user"))}
    return {column: value for column, value in found.items() if value is not None}


def _has_prompts(attributes: Attributes) -> bool:
    return any(key.startswith("llm.prompts.") for key in attributes)


def _parameters(sent: Any) -> dict[str, Any]:
    if not isinstance(sent, str):
        return {}
    try:
        parsed = json.loads(sent)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
