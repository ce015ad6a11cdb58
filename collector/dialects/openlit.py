"""OpenLIT instrumentations: the client's view in current GenAI names, with some of its own.

What it calls time to first token is none: of an answer at once it is the whole time, and of a stream it counts from the
headers of the answer on (0.3 ms where the prefill alone took 6; openlit 1.45). It stays among the attributes, unread.
Its cost of an unknown model is 0, which is not a price. Where the API gives no usage it estimates tokens and does not
say so.
"""

from collector.normalising import coercion
from collector.normalising.rules import complete
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, OURS, Field, read
from conventions import attributes as names

SDK = "telemetry.sdk.name"
CALLS = ("chat", "text_completion", "generate_content")  # a tuple: what is compared may be unhashable
FIELDS = (
    Field("user_id", coercion.name, (names.USER_ID, "gen_ai.user.id", "gen_ai.request.user")),
    Field("session_id", coercion.name, (names.CONVERSATION, names.SESSION_ID, "gen_ai.session.id")),
)
SPOKEN = OURS + CALL


class Dialect:
    """Call spans with OpenLIT's scope or SDK name; embeddings, agents and vector stores are none."""

    rank = 50

    def recognises(self, span: SeenSpan) -> bool:
        """A chat, text completion or content generation sent by OpenLIT."""
        if span.attributes.get(names.OPERATION) not in CALLS:
            return False
        return span.scope.startswith("openlit") or "openlit" in (span.attributes.get(SDK), span.resource.get(SDK))

    def normalise(self, span: SeenSpan) -> Fields:
        """Canonical names; only a canonical time to first chunk counts as one."""
        fields = read(span.attributes, FIELDS)
        fields = {**read(span.attributes, SPOKEN), **fields, "role": "client"}
        if fields.get("cost") == 0:
            del fields["cost"]
        return complete(span, fields, first_token=(names.TIME_TO_FIRST_CHUNK,))
