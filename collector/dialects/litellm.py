"""LiteLLM's two OpenTelemetry integrations, as a proxy or as a library in an application.

v1 sends ``litellm_request`` (or its attributes on the proxy's root span) and below it ``raw_gen_ai_request``, a second
span of the same call. v2 sends CLIENT ``chat {model}`` with ``litellm.*`` and, where mappers are layered, the names of
other vocabularies on the same span. Its spans for authentication, guardrails and databases are no calls.
Read in litellm 1.109. A retry of the proxy is a span of its own, hence a request of its own.
"""

from typing import Any

from collector.normalising import coercion
from collector.normalising.flows import lifted
from collector.normalising.rules import complete
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, OURS, Field, read
from conventions import attributes as names

SCOPE = "litellm"
MARKS = ("litellm.call_id", "litellm.call_type", "litellm.cache_hit", "metadata.user_api_key_hash", "hidden_params")
DUPLICATE = "raw_gen_ai_request"
CACHE_HIT = "litellm.cache_hit"
# v1 gives its own call types; "a" is their asynchronous form
OPERATIONS = {
    **dict.fromkeys(("chat", "completion", "acompletion"), "chat"),
    **dict.fromkeys(("anthropic_messages", "responses", "aresponses"), "chat"),
    **dict.fromkeys(("text_completion", "atext_completion"), "text_completion"),
    **dict.fromkeys(("generate_content", "agenerate_content"), "generate_content"),
}
OF_A_PROXY = (
    "metadata.user_api_key_hash",
    "metadata.user_api_key_request_route",
    "litellm.api_key.hash",
    "litellm.team.id",
    "litellm.request.route",
)


def _given(value: Any) -> str | None:
    return None if value == "None" else coercion.name(value)  # v1 writes absent values out


FIELDS = (
    Field(
        "tenant",
        _given,
        (
            *(names.TENANT, "litellm.team.alias", "metadata.user_api_key_team_alias"),
            *("litellm.team.id", "metadata.user_api_key_team_id"),
        ),
    ),
    Field(
        "user_id",
        _given,
        (
            *(names.USER_ID, "litellm.end_user.id", "llm.user", "metadata.user_api_key_end_user_id"),
            *("litellm.metadata.user_api_key_user_id", "metadata.user_api_key_user_id"),
        ),
    ),
    Field("request_id", _given, (names.RESPONSE_ID, names.REQUEST_ID, "litellm.call_id")),
    Field("cost", coercion.real, ("litellm.cost.total", "gen_ai.cost.total_cost")),
)
SPOKEN = OURS + CALL


class Dialect:
    """Every call span of LiteLLM, and its duplicate, which gets no role."""

    rank = 25

    def recognises(self, span: SeenSpan) -> bool:
        """A call by LiteLLM's scope or marks, or the duplicate of one."""
        attributes = span.attributes
        if span.name == DUPLICATE:
            return True
        operation = attributes.get(names.OPERATION)
        if not isinstance(operation, str) or operation not in OPERATIONS:
            return False
        return span.scope == SCOPE or any(mark in attributes for mark in MARKS)

    def normalise(self, span: SeenSpan) -> Fields:
        """LiteLLM's own names first: other vocabularies on the span say the same, less exactly."""
        if span.name == DUPLICATE:
            return {}
        role = (
            "gateway" if any(lifted(_given, span.attributes.get(key)) is not None for key in OF_A_PROXY) else "client"
        )
        fields = read(span.attributes, FIELDS)
        fields = {**read(span.attributes, SPOKEN), **fields, "role": role}
        fields["operation"] = OPERATIONS[fields["operation"]]
        if "provider" in fields:
            fields["provider"] = fields["provider"].removeprefix("text-completion-")  # its own route to the same API
        if coercion.flag(span.attributes.get(CACHE_HIT)):
            fields["cache_result"] = "exact"  # it does not say which of its caches; a miss looks like no cache
        return complete(span, fields)
