"""When things happened: time to first token, time per output token, and the phases of an attempt on its engine.

Engine phases count from the engine's own arrival time, whatever the network and the gateway added before it.
A gateway's or client's TTFT counts for streamed calls only: without streaming it is the end-to-end latency
(OpenLIT sends it so), and a TTFT beyond the end is rejected.
"""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.layers import Layers
from analytics.relations.precedence import OUTER_FIRST, at, pick

NANOSECONDS: Final = 1e9
OBSERVERS: Final = {"engine": "engine", "gateway": "gateway", "attempt": "gateway", "client": "client"}
"""Who sees a first token, in order of trust, and the origin it is reported under; a client that stands in for the
attempt of a call that nobody else saw is reported as the client that it is."""


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """One entry per request: seconds, seconds per token, and who saw it."""

    ttft_s: pa.Array
    tpot_s: pa.Array
    origin: pa.Array


def first_tokens(spans: pa.Table, layers: Layers, output_tokens: pa.Array) -> FirstTokens:
    """TTFT and TPOT of requests, each from one layer's clock: (e2e − ttft) ÷ (output − 1)."""
    streamed = pc.fill_null(pick(spans, layers, "streamed", OUTER_FIRST), False)
    later = _or_null(pc.greater(output_tokens, 1), pc.cast(pc.subtract(output_tokens, 1), pa.float64()))
    ttfts, rests, origins = [], [], []
    for layer, origin in OBSERVERS.items():
        rows = getattr(layers, layer)
        ttft, e2e = at(spans, "ttft_s", rows), duration_s(spans, rows)
        plausible = pc.and_(pc.less_equal(ttft, e2e), pc.greater_equal(ttft, 0.0))
        ttft = _or_null(plausible if layer == "engine" else pc.and_(plausible, streamed), ttft)
        ttfts.append(ttft)
        rests.append(pc.subtract(e2e, ttft))
        is_client = pc.fill_null(pc.equal(at(spans, "role", rows), "client"), False)
        origins.append(_or_null(pc.is_valid(ttft), pc.if_else(is_client, "client", origin)))
    decode = at(spans, "decode_s", layers.engine)
    return FirstTokens(pc.coalesce(*ttfts), pc.divide(pc.coalesce(decode, *rests), later), pc.coalesce(*origins))


def duration_s(spans: pa.Table, rows: pa.Array) -> pa.Array:
    """End-to-end seconds: as the span says it, else its length."""
    length = pc.divide(pc.cast(pc.subtract(at(spans, "end_ns", rows), at(spans, "start_ns", rows)), pa.float64()), 1e9)
    return pc.coalesce(at(spans, "e2e_s", rows), length)


def timestamp(nanoseconds: pa.Array) -> pa.Array:
    """UTC nanoseconds as the store's TIMESTAMP (microseconds, cut)."""
    return pc.cast(pc.divide(nanoseconds, 1000), pa.timestamp("us"))


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """UTC nanoseconds, one entry per attempt; NULL where no layer sent the phase."""

    started_ns: pa.Array
    prefill_started_ns: pa.Array
    first_token_ns: pa.Array
    ended_ns: pa.Array


def attempt_times(spans: pa.Table, layers: Layers) -> AttemptTimes:
    """Phases of attempts: prefill starts at arrival + queue, the first token comes at arrival + TTFT.

    Without a queue time, prefill is dated back from the first token; without a TTFT, the first token is dated from
    queue + prefill. The end is the engine's where it sent a span: decoding stops there, delivery may go on.
    """
    source = pc.coalesce(layers.engine, layers.attempt)
    arrival, ended = at(spans, "start_ns", source), at(spans, "end_ns", source)
    queue, prefill, ttft = (at(spans, name, source) for name in ("queue_s", "prefill_s", "ttft_s"))
    ttft = pc.coalesce(ttft, pc.add(queue, prefill))
    first = pc.min_element_wise(_after(arrival, ttft), ended, skip_nulls=False)
    queue = pc.coalesce(queue, pc.subtract(ttft, prefill))
    begun = pc.min_element_wise(
        _after(arrival, pc.max_element_wise(queue, 0.0, skip_nulls=False)), ended, skip_nulls=False
    )
    begun = pc.min_element_wise(begun, pc.coalesce(first, begun), skip_nulls=False)
    started = pc.coalesce(at(spans, "start_ns", layers.attempt), arrival)
    return AttemptTimes(started, begun, first, pc.max_element_wise(ended, started))


def _after(start_ns: pa.Array, seconds: pa.Array) -> pa.Array:
    nanoseconds = pc.cast(pc.round(pc.multiply(seconds, NANOSECONDS)), pa.int64())
    return pc.add(start_ns, nanoseconds)


def _or_null(condition: pa.Array, values: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(condition, False), values, pa.nulls(len(values), values.type))
