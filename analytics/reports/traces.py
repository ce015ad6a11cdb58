"""What requests cost and who answered them, by the trace ids that their sender chose."""

from collections.abc import Sequence
from typing import Any, Final

from store.reading import Reader

_AT_ONCE: Final = 1000
BY_TRACE: Final = """
    SELECT trace_id, success, output_tokens, tier, escalated_from, energy_j, energy_quality
    FROM requests WHERE list_contains($trace_ids, trace_id)
"""
METERED: Final = """
    SELECT count(DISTINCT engine) AS engines FROM metric_points
    WHERE metric = 'process.cpu.time' AND list_contains($engines, engine) AND time_ns > CAST($since_ns AS BIGINT)
"""
SOURCES: Final = """
    SELECT string_agg(DISTINCT source, ', ' ORDER BY source) AS source FROM energy_intervals WHERE total_j IS NOT NULL
"""


def by_trace(reader: Reader, trace_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The row of each trace's request; a trace must hold one request. Raises ``StoreError``."""
    rows: list[dict[str, Any]] = []
    for start in range(0, len(trace_ids), _AT_ONCE):
        rows += reader.query(BY_TRACE, {"trace_ids": list(trace_ids[start : start + _AT_ONCE])}).to_pylist()
    return {row.pop("trace_id"): row for row in rows}


def energy_sources(reader: Reader) -> str | None:
    """Where the store's joules come from, such as ``model`` or ``rapl``."""
    found: str | None = reader.query(SOURCES).to_pylist()[0]["source"]
    return found


def are_metered(reader: Reader, engines: Sequence[str], since_ns: int) -> bool:
    """Whether the CPU time of all ``engines`` was read after ``since_ns``: from then on their work has a price."""
    found = reader.query(METERED, {"engines": list(engines), "since_ns": since_ns}).to_pylist()
    return bool(found[0]["engines"] == len(set(engines)))
