"""The current GenAI conventions, whoever speaks them: the last dialect asked.

A SERVER span is a gateway's view of a call, CLIENT and INTERNAL (a model in the same process) a client's.
"""

from collector.normalising.rules import complete
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, OURS, PHASES, read
from conventions import attributes as names

CALLS = ("chat", "text_completion", "generate_content")  # a tuple: what is compared may be unhashable
ROLES = {"CLIENT": "client", "INTERNAL": "client", "SERVER": "gateway"}
SPOKEN = OURS + CALL + PHASES


class Dialect:
    """Inference spans with ``gen_ai.operation.name``; embeddings, tools and agents are not model calls here."""

    rank = 90

    def recognises(self, span: SeenSpan) -> bool:
        """A chat, text completion or content generation."""
        return span.attributes.get(names.OPERATION) in CALLS and span.kind in ROLES

    def normalise(self, span: SeenSpan) -> Fields:
        """Canonical names first, legacy ones for emitters that mix."""
        fields = read(span.attributes, SPOKEN)
        fields["role"] = ROLES[span.kind]
        return complete(span, fields)
