"""Load-test arms side by side: the same load against different policies, read from the settled store.

It knows what a few runs per arm showed; whether a difference is more than noise needs more pairs, and the table
says so.
"""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from store.reading import Reader

ARMS = """
    WITH runs_of AS (
        SELECT run_arm, run_id, count(*) AS requests, count(*) FILTER (WHERE success) AS ok,
               sum(output_tokens) FILTER (WHERE success) AS tokens, sum(energy_j) FILTER (WHERE success) AS active_j,
               quantile_cont(ttft_s, 0.95) FILTER (WHERE first_token_origin = 'engine') AS ttft_p95_s,
               quantile_cont(e2e_s, 0.95) AS e2e_p95_s,
               avg(quality_score) AS exact, min(started_at) AS first_at, max(ended_at) AS last_at,
               worst_quality(energy_quality) AS quality
        FROM requests WHERE list_contains($run_ids, run_id) GROUP BY ALL
    ),
    with_energy AS (
        SELECT r.*, (SELECT sum(e.total_j) FROM energy_intervals e
                     WHERE e.job IS NULL AND e.started_at >= r.first_at AND e.ended_at <= r.last_at) AS total_j
        FROM runs_of r
    )
    SELECT run_arm AS arm, count(*) AS runs, sum(requests)::BIGINT AS requests, sum(ok)::BIGINT AS ok,
           avg(ttft_p95_s) AS ttft_p95_s, avg(e2e_p95_s) AS e2e_p95_s,
           sum(tokens) / sum(epoch(last_at - first_at)) AS tokens_per_s,
           sum(active_j) / sum(tokens) AS active_j_per_token, sum(total_j) / sum(tokens) AS total_j_per_token,
           avg(exact) AS exact, worst_quality(quality) AS quality
    FROM with_energy GROUP BY ALL ORDER BY min(first_at)
"""


def by_arm(reader: Reader, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """One row per arm; latencies are the mean over its runs of each run's percentile (percentiles are never pooled)."""
    rows: list[dict[str, Any]] = reader.query(ARMS, {"run_ids": list(run_ids)}).to_pylist()
    return rows


def render(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A table for people, with the number of runs and the quality of the joules in it."""
    columns = ("arm", "runs", "ok/sent", "TTFT p95", "E2E p95", "tok/s", "active", "all", "exact")
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title=title,
        title_justify="left",
        caption=_caption(rows),
        caption_justify="left",
    )
    for column in columns:
        table.add_column(column, no_wrap=True, justify="left" if column == "arm" else "right")
    for row in rows:
        table.add_row(
            str(row["arm"]),
            str(row["runs"]),
            f"{row['ok']}/{row['requests']}",
            _milliseconds(row["ttft_p95_s"]),
            _milliseconds(row["e2e_p95_s"]),
            _number(row["tokens_per_s"]),
            _joules(row["active_j_per_token"]),
            _joules(row["total_j_per_token"]),
            "–" if row["exact"] is None else f"{row['exact']:.0%}",
        )
    return table


def _caption(rows: Sequence[dict[str, Any]]) -> str:
    quality = next((row["quality"] for row in rows if row["quality"]), "no energy data")
    runs = min((row["runs"] for row in rows), default=0)
    return (
        f"active, all: joules per token of successful requests ({quality}); all = idle and overhead included. "
        f"TTFT: the engine's. {runs} run(s) per arm: a difference is a hint, not a verdict; more pairs make it one."
    )


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value * 1000:.0f} ms"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _joules(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g} J" if value >= 1 else f"{value * 1000:.3g} mJ"
