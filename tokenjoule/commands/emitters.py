"""What ``tokenjoule doctor --ingest`` says: who sent spans lately, what was understood, and whether it is settled.

Lately is the day up to the newest span. A span that is no model call is normal (HTTP, databases, agents); one that is
not recognised and yet has the attributes of one is what a dialect is missing for.
"""

from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from store.reading import Reader

RECENT: Final = "WHERE received_ns > (SELECT max(received_ns) FROM spans) - 86_400_000_000_000"

RECOGNISED: Final = f"""
    SELECT dialect, coalesce(service, '?') AS service, coalesce(scope, '?') AS scope,
           coalesce(role, 'another span of a call') AS role, count(*) AS spans,
           count(*) FILTER (WHERE error_type IS NOT NULL) AS failed,
           count(*) FILTER (WHERE role <> 'attempt' AND error_type IS NULL AND output_tokens IS NULL) AS without_tokens,
           count(*) FILTER (WHERE role IN ('client', 'gateway') AND model_requested IS NULL) AS without_model,
           count(*) FILTER (WHERE streamed AND error_type IS NULL AND ttft_s IS NULL) AS without_first_token,
           count(*) FILTER (WHERE attributes['tokenjoule.normalised'] IS NOT NULL) AS corrected
    FROM spans {RECENT} AND dialect IS NOT NULL
    GROUP BY ALL ORDER BY dialect, spans DESC, service, role
"""

OTHERS: Final = f"""
    SELECT coalesce(service, '?') AS service, coalesce(scope, '?') AS scope, count(*) AS spans, min(name) AS example,
           count(*) FILTER (WHERE len(list_filter(map_keys(attributes),
               lambda key: key LIKE 'gen_ai.usage.%' OR key LIKE 'llm.usage.%' OR key LIKE 'llm.token_count.%')) > 0)
               AS with_tokens
    FROM spans {RECENT} AND dialect IS NULL
    GROUP BY ALL ORDER BY with_tokens DESC, spans DESC, service
    LIMIT 20
"""

LAG: Final = """
    SELECT value AS lag_s FROM metric_points
    WHERE metric = 'tokenjoule.collector.settle_lag_s'
      AND received_ns > (SELECT max(received_ns) FROM metric_points) - 600_000_000_000
    ORDER BY time_ns DESC LIMIT 1
"""
FAR_BEHIND_S: Final = 120.0  # a pause after a pass under load is 30 s at most

MISSING: Final = {
    "without_tokens": "without tokens",
    "without_model": "without a model",
    "without_first_token": "streamed without a first token",
    "corrected": "with cached tokens added to the input",
}


def report(reader: Reader, console: Console) -> None:
    """Print how far settlement lags, and both lists. Raises ``StoreError``."""
    for row in reader.query(LAG).to_pylist():
        late = row["lag_s"] > FAR_BEHIND_S
        remedy = ": more comes in than is settled; it is kept, and settled when less comes in" if late else ""
        console.print(f"settlement is {row['lag_s']:.0f} s behind what was taken in{remedy}")
    recognised = reader.query(RECOGNISED).to_pylist()
    others = reader.query(OTHERS).to_pylist()
    if not recognised and not others:
        console.print(
            "no spans yet: point an exporter at the collector's address (OTLP over HTTP, or gRPC if it is on)"
        )
        return
    console.print("emitters recognised, in the last day of spans")
    for row in recognised:
        _print(console, f"{row['dialect']:<14} {row['role']:<8} {_sender(row)}", _spans(row), _shortcomings(row))
    console.print("spans that are no model calls")
    for row in others:
        unread = f"{row['with_tokens']} have token counts, and no dialect reads them" if row["with_tokens"] else ""
        _print(console, f"{_sender(row)}, such as {row['example']!r}", f"{row['spans']} spans", unread)


def _sender(row: dict[str, Any]) -> str:
    return f"{row['service']} ({row['scope']})"


def _spans(row: dict[str, Any]) -> str:
    return f"{row['spans']} spans" + (f" ({row['failed']} failed)" if row["failed"] else "")


def _shortcomings(row: dict[str, Any]) -> str:
    return ", ".join(f"{row[column]} {words}" for column, words in MISSING.items() if row[column])


def _print(console: Console, who: str, spans: str, but: str) -> None:
    mark = "[yellow]–[/]" if but else "[green]✓[/]"
    line = f"{who}: {spans}" + (f"; {but}" if but else "")
    console.print(f" {mark} {escape(line)}", highlight=False, soft_wrap=True)
