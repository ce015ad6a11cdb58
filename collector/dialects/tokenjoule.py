"""Our own spans: they say which layer of a call they are."""

from collector.normalising.rules import complete, engine_name
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, GATEWAY, OURS, PHASES, read
from conventions import attributes as names

ROLES = ("client", "gateway", "attempt", "engine")  # a tuple: what is compared may be unhashable
SPOKEN = OURS + CALL + GATEWAY + PHASES


class Dialect:
    """Gateway, attempt, engine and client spans with ``tokenjoule.role``."""

    rank = 10

    def recognises(self, span: SeenSpan) -> bool:
        """A span with one of the four roles."""
        return span.attributes.get(names.ROLE) in ROLES

    def normalise(self, span: SeenSpan) -> Fields:
        """Every field by its canonical name."""
        fields = read(span.attributes, SPOKEN)
        fields["role"] = span.attributes.pop(names.ROLE)
        if fields["role"] == "engine":
            fields.setdefault("engine", engine_name(span))
        return complete(span, fields)
