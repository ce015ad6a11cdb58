"""Which layer's value wins, column by column: the table of DESIGN §5, as data.

The gateway knows tenant, tier, routing and cache; the engine knows tokens and phases; the outermost layer knows the
run it belongs to and what was asked for. ``attempt`` is the gateway's view of one try.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.layers import Layers

INNER_FIRST: Final = ("engine", "attempt", "gateway", "client")
OUTER_FIRST: Final = ("client", "gateway", "attempt", "engine")
GATEWAY_FIRST: Final = ("gateway", "attempt", "client", "engine")
REQUEST_COLUMNS: Final = {
    "tenant": GATEWAY_FIRST,
    "user_id": GATEWAY_FIRST,
    "tier": GATEWAY_FIRST,
    "model_requested": OUTER_FIRST,
    "operation": OUTER_FIRST,
    "priority": GATEWAY_FIRST,
    "region": GATEWAY_FIRST,
    "streamed": OUTER_FIRST,
    "finish_reason": ("gateway", "client", "attempt", "engine"),
    "input_tokens": INNER_FIRST,
    "output_tokens": INNER_FIRST,
    "cached_input_tokens": INNER_FIRST,
    "cache_write_tokens": INNER_FIRST,
    "reasoning_tokens": INNER_FIRST,
    "queue_s": INNER_FIRST,
    "prefill_s": INNER_FIRST,
    "decode_s": INNER_FIRST,
    "itl_s": INNER_FIRST,
    "cache_result": GATEWAY_FIRST,
    "route_policy": GATEWAY_FIRST,
    "route_reason": GATEWAY_FIRST,
    "escalated_from": GATEWAY_FIRST,
    "draft_proposed": INNER_FIRST,
    "draft_accepted": INNER_FIRST,
    "exit_skipped": INNER_FIRST,
    "quality_score": OUTER_FIRST,
    "run_id": OUTER_FIRST,
    "run_arm": OUTER_FIRST,
    "run_scenario": OUTER_FIRST,
    "cost": GATEWAY_FIRST,
    "currency": GATEWAY_FIRST,
    "attributes": ("root",),
}
ATTEMPT_FIRST: Final = ("engine", "attempt")  # of one try only its own layers speak
TOKEN_COLUMNS: Final = (
    "input_tokens", "cached_input_tokens", "output_tokens", "draft_proposed", "draft_accepted", "exit_skipped",
)  # fmt: skip


def pick(spans: pa.Table, layers: Layers, column: str, order: Sequence[str]) -> pa.Array:
    """``column`` per entry of ``layers``: from the first layer of ``order`` that has a value."""
    return pc.coalesce(*(at(spans, column, getattr(layers, layer)) for layer in order))


def engine_name(spans: pa.Table, layers: Layers) -> pa.Array:
    """The engine by the name that its own telemetry carries, so that its counters are found.

    An engine span that only has its service's name was not told one: then the gateway's name for it comes first.
    """
    own = at(spans, "engine", layers.engine)
    told = pc.fill_null(pc.not_equal(own, at(spans, "service", layers.engine)), True)
    named = pc.if_else(told, own, pa.nulls(len(own), own.type))
    return pc.coalesce(named, pick(spans, layers, "engine", ("attempt", "engine", "gateway", "client")))


def at(spans: pa.Table, column: str, rows: pa.Array) -> pa.Array:
    """``column`` at ``rows``; NULL where that is NULL."""
    values: Any = spans[column].combine_chunks()
    return values.take(rows)
