"""Stock vLLM's request span (read in vLLM 0.32, ``vllm/tracing``): phases and legacy token names.

It carries no model, no operation and no finish reason, and an aborted request sends no span at all.
"""

from collector.normalising.rules import complete, engine_name
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, GATEWAY, OURS, PHASES, read
from conventions import attributes as names

SPOKEN = OURS + CALL + GATEWAY + PHASES


class Dialect:
    """``llm_request`` of vLLM, and of anything that sends the same span."""

    rank = 20

    def recognises(self, span: SeenSpan) -> bool:
        """The span name, and vLLM's scope or one of its latencies."""
        return span.name == names.ENGINE_SPAN_NAME and (
            span.scope.startswith("vllm") or names.LATENCY_E2E in span.attributes
        )

    def normalise(self, span: SeenSpan) -> Fields:
        """Tokens and phases; the engine's name comes from the resource."""
        fields = read(span.attributes, SPOKEN)
        fields["role"] = "engine"
        fields.setdefault("engine", engine_name(span))
        if span.scope.startswith("vllm"):
            fields.setdefault("provider", "vllm")
        return complete(span, fields)
