"""The two spans of a call: ``chat {model}`` for what the gateway saw, ``attempt {backend}`` for every try.

Prompts and completions are in neither. Attributes are set once, at the end: each call of the SDK costs time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from conventions import attributes as names
from serving.backends.failures import Outcome
from serving.backends.fleet import Backend
from serving.gateway.call import Call
from serving.telemetry import (
    AttributeValue,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    extract_context,
    inject_context,
    set_span_in_context,
)

PROVIDER = "tokenjoule"
MAX_VALUE_CHARS = 256
_CONTEXT_HEADERS = ("traceparent", "tracestate")


@dataclass(slots=True)
class Try:
    """How one attempt went; ``headers`` carry its trace context to the backend."""

    headers: dict[str, str]
    outcome: Outcome = "failed"
    error_type: str | None = None
    confidence: float | None = None
    """Chance that its answer is right, where that was judged."""

    def end(self, outcome: Outcome, error_type: str | None) -> None:
        """Note how it went."""
        self.outcome, self.error_type = outcome, error_type


def open_call(tracer: Tracer, operation: str, headers: Mapping[bytes, bytes]) -> Span:
    """The gateway's span, child of the caller's if it sent a ``traceparent``."""
    parent = None
    if b"traceparent" in headers:
        parent = extract_context({name: headers.get(name.encode(), b"").decode("latin-1") for name in _CONTEXT_HEADERS})
    return tracer.start_span(operation, parent, SpanKind.SERVER)


def close_call(call: Call) -> None:
    """End the gateway's span with everything that is known."""
    span = call.span
    if span.is_recording():
        if call.ask is not None:
            span.update_name(f"{call.operation} {call.ask.model[:MAX_VALUE_CHARS]}")
        span.set_attributes(_known({**_identity(call), **_request(call), **_answer(call)}))
        if call.error_type is not None:
            span.set_status(Status(StatusCode.ERROR))
    span.end()


@contextmanager
def attempt(tracer: Tracer, call: Call, backend: Backend, number: int) -> Iterator[Try]:
    """The span of one try; ends with what its body noted on the ``Try``."""
    span = tracer.start_span(f"attempt {backend.name}", set_span_in_context(call.span), SpanKind.CLIENT)
    current = Try({})
    inject_context(current.headers, set_span_in_context(span))
    try:
        yield current
    finally:
        if span.is_recording():
            span.set_attributes(_known(_attempt(backend, number, current)))
            if current.error_type is not None:
                span.set_status(Status(StatusCode.ERROR))
        span.end()


def _identity(call: Call) -> dict[str, AttributeValue | None]:
    session = call.headers.get(b"x-session-id")
    return {
        names.ROLE: "gateway",
        names.OPERATION: call.operation,
        names.PROVIDER: PROVIDER,
        names.TENANT: call.tenant,
        names.SESSION_ID: session.decode("latin-1")[:MAX_VALUE_CHARS] if session else None,
        names.TIER: call.tier,
        names.ENGINE: call.backend.name if call.backend else None,
        names.ROUTE_POLICY: call.policy,
        names.ROUTE_REASON: call.reason,
        names.CONFIDENCE: call.confidence,
        names.ESCALATED_FROM: call.escalated_from,
        names.CACHE_RESULT: call.cache_result,
        names.OUTCOME: call.outcome,
        names.ERROR_TYPE: call.error_type,
        names.HTTP_STATUS: call.status,
    }


def _request(call: Call) -> dict[str, AttributeValue | None]:
    ask = call.ask
    if ask is None:
        return {}
    user, priority = ask.body.user, ask.body.priority
    return {
        names.REQUEST_MODEL: ask.model[:MAX_VALUE_CHARS],
        names.REQUEST_STREAM: ask.streamed,
        names.REQUEST_MAX_TOKENS: ask.max_tokens,
        names.REQUEST_TEMPERATURE: ask.body.temperature,
        names.REQUEST_TOP_P: ask.body.top_p,
        names.USER_ID: user[:MAX_VALUE_CHARS] if user else None,
        names.PRIORITY: None if priority is None else str(priority),
    }


def _answer(call: Call) -> dict[str, AttributeValue | None]:
    seen = call.observation
    first_s = None if seen.first_content_at is None else seen.first_content_at - call.accepted_s
    return {
        names.RESPONSE_ID: seen.response_id,
        names.RESPONSE_MODEL: seen.model,
        names.INPUT_TOKENS: seen.input_tokens,
        names.OUTPUT_TOKENS: seen.output_tokens,
        names.CACHE_READ_TOKENS: seen.cached_tokens,
        names.FINISH_REASONS: list(seen.finishes.values()) or None,
        names.TIME_TO_FIRST_CHUNK: first_s,
    }


def _attempt(backend: Backend, number: int, current: Try) -> dict[str, AttributeValue | None]:
    return {
        names.ROLE: "attempt",
        names.ENGINE: backend.name,
        names.TIER: backend.tier,
        names.REQUEST_MODEL: backend.model,
        names.ATTEMPT: number,
        names.OUTCOME: current.outcome,
        names.ERROR_TYPE: current.error_type,
        names.CONFIDENCE: current.confidence,
        names.SERVER_ADDRESS: backend.address,
        names.SERVER_PORT: backend.port,
    }


def _known(values: dict[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in values.items() if value is not None}
