"""One ``llm_request`` span per call, built after the response is done: stock vLLM's phases, and ours.

A call that never became a sequence (refused, malformed) has a span too, with what is known of it.
"""

from dataclasses import dataclass

from conventions import attributes as names
from conventions.units import nanoseconds_from_seconds
from serving.engine.sequence import Outcome, Sequence
from serving.telemetry import Context, SpanKind, Status, StatusCode, Tracer

Value = str | bool | int | float | list[str]


@dataclass(slots=True)
class Call:
    """One HTTP call as far as its span is concerned. Filled by the server while it answers."""

    operation: str
    request_id: str
    """The caller's, or one made for it."""
    response_id: str
    arrived_s: float
    """Monotonic."""
    arrived_ns: int
    """Wall clock, only to place the span."""
    parent: Context | None = None
    model_asked: str | None = None
    sequence: Sequence | None = None
    error: str | None = None
    """``error.type`` of a call that never reached the engine."""

    @property
    def outcome(self) -> Outcome:
        """A sequence that the engine still holds is being cancelled: its caller has left."""
        if self.sequence is not None:
            return self.sequence.outcome or "cancelled"
        return "cancelled" if self.error == "cancelled" else "refused"

    @property
    def error_type(self) -> str | None:
        """None for an answered call."""
        if self.outcome == "answered":
            return None
        return (self.sequence.error if self.sequence else self.error) or self.outcome


def record(tracer: Tracer, call: Call, engine: str, model: str, ended_s: float) -> None:
    """Emit the span of a settled call that ended at ``ended_s`` (monotonic)."""
    span = tracer.start_span(
        names.ENGINE_SPAN_NAME,
        context=call.parent,
        kind=SpanKind.SERVER,
        attributes=_of_call(call, engine, model) | (of_sequence(call.sequence, ended_s) if call.sequence else {}),
        start_time=call.arrived_ns,
    )
    if call.error_type is not None:
        span.set_status(Status(StatusCode.ERROR, call.error_type))
    span.end(call.arrived_ns + nanoseconds_from_seconds(ended_s - call.arrived_s))


def _of_call(call: Call, engine: str, model: str) -> dict[str, Value]:
    found: dict[str, Value] = {
        names.ROLE: "engine",
        names.ENGINE: engine,
        names.OPERATION: call.operation,
        names.REQUEST_ID: call.response_id,
        names.RESPONSE_ID: call.response_id,
        names.REQUEST_MODEL: call.model_asked or model,
        names.RESPONSE_MODEL: model,
        names.OUTCOME: call.outcome,
    }
    return found | ({names.ERROR_TYPE: call.error_type} if call.error_type else {})


def of_sequence(sequence: Sequence, ended_s: float) -> dict[str, Value]:
    """What the span of a call that became a sequence says besides its identity."""
    request = sequence.request
    num_prompt, num_output = request.num_prompt_tokens, len(sequence.output)
    found: dict[str, Value] = {
        names.REQUEST_STREAM: request.stream,
        names.REQUEST_MAX_TOKENS: request.max_tokens,
        names.REQUEST_TEMPERATURE: request.sampling.temperature,
        names.REQUEST_TOP_P: request.sampling.top_p,
        names.INPUT_TOKENS: num_prompt,
        names.PROMPT_TOKENS_LEGACY: num_prompt,
        names.OUTPUT_TOKENS: num_output,
        names.COMPLETION_TOKENS_LEGACY: num_output,
        names.CACHE_READ_TOKENS: sequence.num_cached,
        names.DRAFT_PROPOSED: sequence.draft_proposed,
        names.DRAFT_ACCEPTED: sequence.draft_accepted,
    }
    if sequence.num_reused:
        found[names.SEMANTIC_TOKENS] = sequence.num_reused
    if request.exit_threshold is not None:
        found |= {
            names.EARLY_EXIT_THRESHOLD: request.exit_threshold,
            names.EARLY_EXIT_TOKENS: sequence.exit_tokens,
            names.EARLY_EXIT_SKIPPED: sequence.exit_skipped,
        }
    if sequence.finish_reason:
        found[names.FINISH_REASONS] = [sequence.finish_reason]
    if sequence.num_steps:
        found[names.BATCH_SIZE] = sequence.sum_batch_sizes / sequence.num_steps
    return found | _phases(sequence, ended_s)


def _phases(sequence: Sequence, ended_s: float) -> dict[str, Value]:
    """Seconds, as vLLM cuts them; phases that a cancelled request never reached are left out."""
    found: dict[str, Value] = {names.LATENCY_E2E: ended_s - sequence.arrived_s}
    scheduled_s, first_s, last_s = sequence.scheduled_s, sequence.first_token_s, sequence.last_token_s
    if scheduled_s is not None:
        found[names.LATENCY_QUEUE] = scheduled_s - sequence.arrived_s
    if scheduled_s is not None and first_s is not None and last_s is not None:
        found[names.LATENCY_TTFT] = first_s - sequence.arrived_s
        found[names.LATENCY_PREFILL] = first_s - scheduled_s
        found[names.LATENCY_DECODE] = last_s - first_s
        found[names.LATENCY_INFERENCE] = last_s - scheduled_s
    return found
