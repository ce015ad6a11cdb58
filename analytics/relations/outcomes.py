"""How each request and each attempt ended: success and its basis, error type, outcome.

Success needs a finish reason of ``stop``, ``length`` or ``tool_calls`` and no error at any layer that saw the end.
Without a finish reason, or when no layer saw the delivery (an engine span alone), it is inferred.
"""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.layers import Layers
from analytics.relations.precedence import REQUEST_COLUMNS, at, pick

SUCCESSFUL_FINISHES: Final = ("stop", "length", "tool_calls")
CANCELLED_WORDS: Final = ("cancelled", "canceled", "cancellederror", "abort", "aborted", "client_disconnected")
UNNAMED_ERROR: Final = "_OTHER"  # the GenAI conventions' fallback for an error without a type
CANCELLED: Final = "cancelled"

_WITNESSES: Final = ("gateway", "client", "attempt", "engine")  # layers of the answering attempt that see the end


@dataclass(frozen=True, slots=True)
class Endings:
    """One entry per request."""

    success: pa.Array
    success_basis: pa.Array  # observed | inferred
    error_type: pa.Array


def request_endings(spans: pa.Table, layers: Layers) -> Endings:
    """How requests ended, judged by every layer of the answering attempt."""
    finish = pick(spans, layers, "finish_reason", REQUEST_COLUMNS["finish_reason"])
    outcome = at(spans, "outcome", layers.attempt)
    error = pc.coalesce(*(_error_at(spans, getattr(layers, layer)) for layer in _WITNESSES))
    error = pc.coalesce(error, _unsuccessful_outcome(outcome), _unsuccessful_finish(finish))
    failed = pc.is_valid(error)
    delivered = pc.is_valid(pc.coalesce(layers.gateway, layers.client))
    observed = pc.or_(failed, pc.and_(delivered, pc.is_valid(finish)))
    return Endings(pc.invert(failed), pc.if_else(observed, "observed", "inferred"), error)


def attempt_endings(spans: pa.Table, layers: Layers) -> tuple[pa.Array, pa.Array]:
    """Outcome and error type per attempt; an outcome that was sent wins over one read from errors."""
    finish = pc.coalesce(at(spans, "finish_reason", layers.engine), at(spans, "finish_reason", layers.attempt))
    error = pc.coalesce(_error_at(spans, layers.attempt), _error_at(spans, layers.engine), _unsuccessful_finish(finish))
    read = pc.if_else(pc.is_valid(error), "failed", "answered")
    read = pc.if_else(pc.fill_null(_is_cancelled(error), False), CANCELLED, read)
    sent = pc.coalesce(at(spans, "outcome", layers.attempt), at(spans, "outcome", layers.engine))
    return pc.coalesce(sent, read), error


def _error_at(spans: pa.Table, rows: pa.Array) -> pa.Array:
    status = pc.fill_null(pc.equal(at(spans, "status", rows), "ERROR"), False)
    unnamed = pc.if_else(status, UNNAMED_ERROR, pa.scalar(None, pa.string()))
    return pc.coalesce(at(spans, "error_type", rows), unnamed)


def _unsuccessful_finish(finish: pa.Array) -> pa.Array:
    """The finish reason where it is known and not a success; ``cancelled`` for every way to say abort."""
    bad = pc.invert(pc.is_in(finish, value_set=pa.array([*SUCCESSFUL_FINISHES, None], pa.string())))
    named = pc.if_else(_is_cancelled(finish), CANCELLED, finish)
    return pc.if_else(bad, named, pa.scalar(None, pa.string()))


def _unsuccessful_outcome(outcome: pa.Array) -> pa.Array:
    bad: Any = pc.is_in(outcome, value_set=pa.array(["failed", CANCELLED]))
    return pc.if_else(bad, outcome, pa.scalar(None, pa.string()))


def _is_cancelled(words: pa.Array) -> pa.Array:
    last_part = pc.replace_substring_regex(pc.utf8_lower(words), r"^.*\.", "")  # asyncio.exceptions.CancelledError
    return pc.is_in(last_part, value_set=pa.array(CANCELLED_WORDS))
