"""Settles spans into the relations ``requests`` and ``attempts``: one row per call, one row per try.

Pure and idempotent: the same spans in any order, with any of them sent twice, give the same rows; a span that
arrives late gives, together with those already here, the rows it would have given in time.
It does not know energy, carbon or prices; their columns stay NULL until the ledger and ``analytics.charges`` fill them.
"""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.charges.requests import CHARGED
from analytics.relations.calls import find_calls
from analytics.relations.layers import Calls, Layers
from analytics.relations.links import unique
from analytics.relations.outcomes import attempt_endings, request_endings
from analytics.relations.phases import attempt_times, duration_s, first_tokens, timestamp
from analytics.relations.precedence import (
    ATTEMPT_FIRST,
    INNER_FIRST,
    REQUEST_COLUMNS,
    TOKEN_COLUMNS,
    at,
    engine_name,
    pick,
)  # fmt: skip

BUCKET_NS: Final = 10_000_000_000
"""What is settled again as a whole. A pass holds and writes the newest buckets with every pass, so that its memory and
CPU time go with this; slots of ``energy_spent`` must each lie in one."""
SPAN_COLUMNS: Final = tuple(
    dict.fromkeys(
        (
            *("received_ns", "trace_id", "span_id", "parent_span_id", "role", "operation", "start_ns", "end_ns"),
            *("status", "service", "model_served", "request_id", "error_type", "attempt", "outcome"),
            *("engine", "ttft_s", "e2e_s", *REQUEST_COLUMNS, *TOKEN_COLUMNS),
        )
    )
)
"""All that settlement reads of ``spans``."""
UNSETTLED_REQUEST_COLUMNS: Final = {
    "energy_j": pa.float64(),
    "energy_se_j": pa.float64(),
    "energy_quality": pa.string(),
    **dict(zip(CHARGED.names, CHARGED.types, strict=True)),
    "energy_coverage": pa.float64(),
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """Rows of ``requests`` and ``attempts``, with ``bucket_ns`` (by the start of the request) in front."""

    requests: pa.Table
    attempts: pa.Table


def settle(spans: pa.Table) -> Settlement:
    """Requests and attempts of ``spans`` (``SPAN_COLUMNS`` of ``store/tables/spans.sql``), requests ordered by start.

    Give whole traces: a call whose parent is missing is a request of its own until it is settled again with it.
    """
    spans = unique(spans)
    calls = find_calls(spans)
    requests = _requests(spans, calls)
    return Settlement(requests, _attempts(spans, calls, requests))


def request_id(trace: Any, root: Any) -> Any:
    """The ids of requests by the trace and the span of their roots."""
    return pc.binary_join_element_wise(trace, root, ":")


def _requests(spans: pa.Table, calls: Calls) -> pa.Table:
    layers = calls.requests
    started, ended = at(spans, "start_ns", layers.root), at(spans, "end_ns", layers.root)
    trace = at(spans, "trace_id", layers.root)
    columns = {name: pick(spans, layers, name, order) for name, order in REQUEST_COLUMNS.items()}
    tokens = first_tokens(spans, layers, columns["output_tokens"])
    endings = request_endings(spans, layers)
    columns |= {
        "bucket_ns": pc.multiply(pc.divide(started, BUCKET_NS), BUCKET_NS),
        "request_id": request_id(trace, at(spans, "span_id", layers.root)),
        "trace_id": trace,
        "model_served": _model(spans, layers),
        "engine": engine_name(spans, layers),
        "started_at": timestamp(started),
        "ended_at": timestamp(pc.max_element_wise(started, ended)),
        "success": endings.success,
        "success_basis": endings.success_basis,
        "error_type": endings.error_type,
        "ttft_s": tokens.ttft_s,
        "tpot_s": tokens.tpot_s,
        "first_token_origin": tokens.origin,
        "e2e_s": duration_s(spans, layers.root),
    }
    columns |= {name: pa.nulls(len(trace), kind) for name, kind in UNSETTLED_REQUEST_COLUMNS.items()}
    return pa.table(columns)


def _attempts(spans: pa.Table, calls: Calls, requests: pa.Table) -> pa.Table:
    layers = calls.attempts
    times = attempt_times(spans, layers)
    outcome, error = attempt_endings(spans, layers)
    of_request = calls.attempt_requests
    columns = {name: _tokens(spans, calls, name) for name in TOKEN_COLUMNS}
    columns |= {
        "engine": engine_name(spans, layers),
        "bucket_ns": requests["bucket_ns"].combine_chunks().take(of_request),
        "request_id": requests["request_id"].combine_chunks().take(of_request),
        "attempt": calls.attempt_numbers,
        "model": _model(spans, layers),
        "outcome": outcome,
        "started_at": timestamp(times.started_ns),
        "prefill_started_at": timestamp(times.prefill_started_ns),
        "first_token_at": timestamp(times.first_token_ns),
        "ended_at": timestamp(times.ended_ns),
        "error_type": error,
        "energy_j": pa.nulls(len(outcome), pa.float64()),
        "energy_se_j": pa.nulls(len(outcome), pa.float64()),
        "energy_coverage": pa.nulls(len(outcome), pa.float64()),
    }
    return pa.table(columns)


def _tokens(spans: pa.Table, calls: Calls, name: str) -> pa.Array:
    """Of its own two layers; the answering attempt may also take what gateway or client counted."""
    own = pick(spans, calls.attempts, name, ATTEMPT_FIRST)
    whole = pick(spans, calls.attempts, name, INNER_FIRST)
    return pc.if_else(calls.answers, whole, own)


def _model(spans: pa.Table, layers: Layers) -> pa.Array:
    """What served: as the innermost layer names it, else what it was asked for (stock vLLM's span names neither)."""
    served = pick(spans, layers, "model_served", INNER_FIRST)
    return pc.coalesce(served, pick(spans, layers, "model_requested", ("attempt", "engine", "gateway", "client")))
