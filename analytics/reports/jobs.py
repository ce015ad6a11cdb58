"""Training and batch jobs of a window, as a table for the weekly page: what each cost and what came of it."""

from typing import Any, Final

from analytics.metric import Queries, Window
from analytics.reports.quantities import UNKNOWN, count, digits, quantity

LISTED: Final = 20
JOBS: Final = """
    SELECT job_id, name, status, error_type, started_at, elapsed_s, device_type, steps, samples, tokens, loss,
           precision, gradient_checkpointing, flops_method, energy_j, energy_quality,
           ratio(energy_j, samples) AS j_per_sample, ratio(energy_j, tokens) AS j_per_token,
           ratio(flops, tokens) AS flops_per_token,
           ratio(samples, duration_s * greatest(len(devices), 1) / 3600) AS samples_per_device_hour
    FROM jobs
    WHERE heard_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
    ORDER BY started_at DESC LIMIT $listed
"""
HEAD: Final = ("job", "ended", "time", "energy", "per sample", "per token", "FLOPs", "samples", "rate", "loss")


def listed(reader: Queries, window: Window) -> list[dict[str, Any]]:
    """The newest jobs that were heard of in ``window``, each with its figures over all of its time."""
    bounds = {"start": window.start.isoformat(), "end": window.end.isoformat(), "listed": LISTED}
    rows: list[dict[str, Any]] = reader.query(JOBS, bounds).to_pylist()
    return rows


def _energy(job: dict[str, Any]) -> str:
    said = f" {job['energy_quality']}" if job["energy_quality"] else ""
    return f"{quantity(job['energy_j'], 'J')}{said}"


def lines(jobs: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The cells of ``HEAD`` for each job."""
    return [
        (
            f"{job['name']}{'' if job['precision'] is None else ' (' + job['precision'] + ')'}",
            job["error_type"] or job["status"],
            quantity(job["elapsed_s"], "s"),
            _energy(job),
            quantity(job["j_per_sample"], "J/{sample}"),
            quantity(job["j_per_token"], "J/{token}"),
            quantity(job["flops_per_token"], "{operation}/{token}"),
            count(job["samples"]),
            quantity(job["samples_per_device_hour"], "{sample}/h"),
            UNKNOWN if job["loss"] is None else digits(job["loss"]),
        )
        for job in jobs
    ]
