"""What holds for a model call in every spelling; a dialect applies it after reading its fields.

* Input tokens include cached ones. An emitter that counts them apart (Anthropic style) shows it where the cached ones
  exceed the input, or where its total has them on top; they are then added, and the span says which rule fired.
* A caller has a time to first token only where it streamed: otherwise the first byte is the whole answer.
* A time to first token after the end of the call is not one.
* What a span does not say in its attributes may stand in its events: a finish reason, the first token, its error.

What computes with values does it by ``lifted`` and ``holds``, so that it can be done for many spans at once.
"""

from operator import add, eq, le, lt
from typing import Any

from collector.normalising import coercion, events
from collector.normalising.flows import holds, lifted
from collector.normalising.seen import Fields, SeenSpan
from collector.normalising.vocabulary import CALLER_TTFT, ENGINE_TTFT
from conventions import attributes as names

RULE_FIRED = "tokenjoule.normalised"
TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "gen_ai.client.token.usage")
UNKNOWN_ERROR = "_OTHER"  # error.type's fallback in the conventions


def complete(span: SeenSpan, fields: Fields, first_token: tuple[str, ...] = CALLER_TTFT) -> Fields:
    """``fields`` with what follows from them and from the span itself. Needs ``role``.

    ``first_token`` are the names under which this emitter's callers give a time to first token.
    """
    fields.setdefault("e2e_s", span.duration_s)
    _include_cached_tokens(span, fields)
    heard = _heard(span, fields)
    if span.failed:
        fields.setdefault("error_type", heard.get("error_type", UNKNOWN_ERROR))
    keys = ENGINE_TTFT if fields["role"] == "engine" else first_token if fields.get("streamed") else ()
    ttft_s = _first_token_s(span, fields["e2e_s"], keys)
    if ttft_s is None and fields.get("streamed"):
        ttft_s = heard.get("ttft_s")
    if ttft_s is not None:
        fields["ttft_s"] = ttft_s
    if "cost" in fields:
        fields.setdefault("currency", "USD")  # every spelling of cost we read is in US dollars
    return fields


def engine_name(span: SeenSpan) -> str | None:
    """The name of the engine that sent ``span``: ours if given, else the instance it was told to be, else the service.

    OpenTelemetry SDKs make up a random UUID as instance id, one per process; that names nothing.
    """
    own = coercion.name(span.resource.get(names.ENGINE))
    instance = coercion.name(span.resource.get(names.SERVICE_INSTANCE))
    service = coercion.name(span.resource.get(names.SERVICE_NAME))
    return own or (instance if instance and not _is_uuid(instance) else None) or service or instance


def _include_cached_tokens(span: SeenSpan, fields: Fields) -> None:
    given = fields.get("input_tokens")
    cached = lifted(add, fields.get("cached_input_tokens", 0), fields.get("cache_write_tokens", 0))
    if given is None or not holds(bool, cached):
        return
    sent, total = lifted(add, given, cached), _total(span)
    if holds(lt, given, cached):
        span.attributes[RULE_FIRED] = "input_tokens: cached tokens added"
    elif total is not None and holds(eq, total, lifted(add, sent, fields.get("output_tokens", 0))):
        span.attributes[RULE_FIRED] = "input_tokens: cached tokens added, as in the total"
    else:
        return
    fields["input_tokens"] = sent


def _total(span: SeenSpan) -> Any:
    return next((lifted(coercion.count, span.attributes[key]) for key in TOTALS if key in span.attributes), None)


def _first_token_s(span: SeenSpan, e2e_s: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if key not in span.attributes:
            continue
        ttft_s = lifted(coercion.seconds, span.attributes[key])
        if ttft_s is not None and holds(le, ttft_s, e2e_s):
            del span.attributes[key]
            return ttft_s
    return None


def _heard(span: SeenSpan, fields: Fields) -> Fields:
    """What the events of the span say, each thing by the first that says it; reasons and streaming go to ``fields``."""
    heard: Fields = {}
    told_of = span.events()
    if not told_of:
        return heard
    for event in told_of:
        told = events.told(event.name, dict(event.attributes))
        if told.pop("is_first_token", False):
            told["ttft_s"] = event.since_start_s
        heard = {**told, **heard}
    for column in ("finish_reason", "streamed"):
        if column in heard:
            fields.setdefault(column, heard[column])
    if not 0.0 <= heard.get("ttft_s", -1.0) <= fields["e2e_s"]:
        heard.pop("ttft_s", None)
    return heard


def _is_uuid(instance: str) -> bool:
    return len(instance) == 36 and instance.count("-") == 4
