"""OpenLLMetry (Traceloop) instrumentations: the client's view, in the old and in the new spelling at once.

They send no time to first token on the span; a stream has an event per chunk, and the first of them is it.
Read in opentelemetry-instrumentation-openai 0.62.4.
"""

from collector.normalising import coercion
from collector.normalising.rules import complete
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, OURS, Field, read
from conventions import attributes as names

MARKS = ("llm.request.type", "gen_ai.is_streaming", "llm.is_streaming")
CALLS = ("chat", "completion", "text_completion", "generate_content")  # a tuple: what is compared may be unhashable
OPERATIONS = {"completion": "text_completion"}  # llm.request.type's word for it
# what applications attach by ``Traceloop.set_association_properties``, by the names its examples use
ASSOCIATED = "traceloop.association.properties."
FIELDS = (
    Field("tenant", coercion.name, (f"{ASSOCIATED}tenant", f"{ASSOCIATED}tenant_id", f"{ASSOCIATED}organization_id")),
    Field("user_id", coercion.name, (f"{ASSOCIATED}user_id",)),
    Field("session_id", coercion.name, (f"{ASSOCIATED}session_id", f"{ASSOCIATED}conversation_id")),
)
SPOKEN = OURS + CALL


class Dialect:
    """Model calls by ``opentelemetry.instrumentation.*`` with one of Traceloop's own marks."""

    rank = 30

    def recognises(self, span: SeenSpan) -> bool:
        """A chat or completion span with a mark; workflow, task and agent spans have none."""
        attributes = span.attributes
        operation = attributes.get(names.OPERATION) or attributes.get("llm.request.type")
        return operation in CALLS and any(mark in attributes for mark in MARKS)

    def normalise(self, span: SeenSpan) -> Fields:
        """Canonical names where the span has them, Traceloop's else."""
        fields = read(span.attributes, FIELDS)
        fields = {**fields, **read(span.attributes, SPOKEN), "role": "client"}
        fields["operation"] = OPERATIONS.get(fields["operation"], fields["operation"])
        return complete(span, fields)
