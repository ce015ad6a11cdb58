"""Spans as settlement reads them, with the columns of the store and only the interesting ones named."""

from typing import Any

import pyarrow as pa

from store import schemas

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


def span(span_id: str, role: str | None, parent: str | None = None, **values: Any) -> dict[str, Any]:
    """One span row of trace ``t``; ``at`` and ``lasts`` give its times in seconds from ``START``."""
    begun = START + round(values.pop("at", 0.0) * SECOND)
    lasted = round(values.pop("lasts", 1.0) * SECOND)
    fixed = {"received_ns": START, "trace_id": "t", "name": role or "span", "kind": "CLIENT", "status": "UNSET"}
    times = {"start_ns": begun, "end_ns": begun + lasted}
    return fixed | times | {"span_id": span_id, "parent_span_id": parent, "role": role} | values


def table(*rows: dict[str, Any]) -> pa.Table:
    """Rows as the store gives them."""
    return pa.Table.from_pylist(list(rows), schema=schemas.arrow("spans"))


def full_call(name: str, *, parent: str | None = None, at: float = 0.0) -> list[dict[str, Any]]:
    """A call seen by client, gateway, one attempt and engine, with an HTTP span between client and gateway."""
    return [
        span(f"{name}c", "client", parent, at=at, lasts=2.0, finish_reason="stop", run_id="r1", streamed=True),
        span(f"{name}h", None, f"{name}c", at=at, lasts=2.0, name="POST"),
        span(f"{name}g", "gateway", f"{name}h", at=at + 0.1, lasts=1.8, finish_reason="stop", tenant="acme"),
        span(f"{name}a", "attempt", f"{name}g", at=at + 0.2, lasts=1.6, engine="scout", attempt=1, outcome="answered"),
        engine_span(f"{name}e", f"{name}a", at=at + 0.3),
    ]


def engine_span(span_id: str, parent: str | None, *, at: float, **values: Any) -> dict[str, Any]:
    """An engine's view: queued 0.1 s, prefill 0.2 s, decode 1.1 s, 100 tokens in (40 cached), 12 out."""
    phases = {"queue_s": 0.1, "prefill_s": 0.2, "decode_s": 1.1, "ttft_s": 0.3, "e2e_s": 1.4}
    tokens = {"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": 12}
    return span(span_id, "engine", parent, at=at, lasts=1.4, **(phases | tokens | {"finish_reason": "stop"} | values))
