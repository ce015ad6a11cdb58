"""SGLang's request tracing: the root span of a request is the engine's view; thread and stage spans are its parts.

Its prefill runs from dispatch to the first token, so it has the wait in it: without a queue time it is not known how
long the prefill was. With prefill and decode on separate servers the decoding one has the whole request, and the
other's root is no second call. Read in ``sglang/srt/observability`` (trace.py, req_time_stats.py); not yet tried on a
recording.
"""

from collector.normalising.flows import holds, lifted
from collector.normalising.rules import complete, engine_name
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALL, OURS, PHASES, read

MODULE = "sglang::request"
PREFILL_SERVER = "prefill Req"
SPOKEN = OURS + CALL + PHASES


class Dialect:
    """Root spans, ``{role} Req {id}``: only they carry the module and the request's id."""

    rank = 21

    def recognises(self, span: SeenSpan) -> bool:
        """The module of requests, with an id."""
        return span.attributes.get("module") == MODULE and "rid" in span.attributes

    def normalise(self, span: SeenSpan) -> Fields:
        """Tokens and phases under vLLM's names; the engine's name comes from the resource."""
        if holds(str.startswith, span.name, PREFILL_SERVER):
            return {}
        fields = read(span.attributes, SPOKEN)
        fields["role"] = "engine"
        fields.setdefault("provider", "sglang")
        fields.setdefault("request_id", lifted(str, span.attributes["rid"]))
        fields.setdefault("engine", engine_name(span))
        prefill_s = fields.pop("prefill_s", None)
        if prefill_s is not None and "queue_s" in fields:
            fields["prefill_s"] = lifted(_after_the_wait, prefill_s, fields["queue_s"])
        return complete(span, fields)


def _after_the_wait(prefill_s: float, queue_s: float) -> float:
    return max(0.0, prefill_s - queue_s)
