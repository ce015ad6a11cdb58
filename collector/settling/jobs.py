"""Training and batch jobs in the store: their CPU seconds for the ledger, and ``job_progress`` from their reports.

Everything comes from data points that carry ``tokenjoule.job.id``, so a job that was killed keeps what it reported.
"""

from typing import Final

import pyarrow as pa

from analytics.ledger.spending import SLOT_S
from collector.settling.buckets import MINUTE_NS
from conventions import attributes as names
from conventions import instruments
from store.writing import Store

RELATION: Final = "job_progress"
SECOND_NS: Final = 1_000_000_000

CPU_SECONDS: Final = f"""
    SELECT job, instance AS leg, resource['{names.JOB_WITHIN}'] AS within, resource['{names.HOST_NAME}'] AS host,
           resource['{names.JOB_DEVICES}'] AS devices, time_ns, start_ns, value
    FROM metric_points
    WHERE job IS NOT NULL AND instance IS NOT NULL AND metric = $metric AND time_ns >= $low AND time_ns < $high
      AND temporality IS DISTINCT FROM 'delta'"""
NEW_MINUTES: Final = """
    SELECT DISTINCT time_ns // $minute * $minute AS minute FROM metric_points
    WHERE received_ns > $since AND received_ns <= $until AND job IS NOT NULL AND instance IS NOT NULL"""
PROGRESS: Final = f"""
    WITH reported AS (
        SELECT *, time_ns // $slot * $slot AS slot FROM metric_points
        WHERE job IS NOT NULL AND instance IS NOT NULL AND value IS NOT NULL
          AND time_ns >= $low AND time_ns < $high
          AND time_ns // $minute * $minute IN (SELECT unnest($minutes::BIGINT[]))
          AND temporality IS DISTINCT FROM 'delta'
    ),
    told AS (
        SELECT slot, job AS job_id, instance AS leg, min(coalesce(start_ns, time_ns)) AS leg_ns,
               max(time_ns) AS heard_ns, any_value(resource) AS said,
               max(value) FILTER (metric = '{instruments.JOB_STEPS.name}') AS steps,
               max(value) FILTER (metric = '{instruments.JOB_SAMPLES.name}') AS samples,
               max(value) FILTER (metric = '{instruments.JOB_TOKENS.name}') AS tokens,
               max(value) FILTER (metric = '{instruments.JOB_FLOPS.name}') AS flops,
               max(value) FILTER (metric = '{instruments.JOB_DURATION.name}') AS duration_s,
               max(value) FILTER (metric = '{instruments.PROCESS_CPU_TIME.name}') AS cpu_s,
               arg_max(value, time_ns) FILTER (metric = '{instruments.JOB_LOSS.name}') AS loss,
               max(attributes['{names.JOB_FLOPS_METHOD}']) AS flops_method,
               max(TRY_CAST(attributes['{names.JOB_FLOPS_COST_S}'] AS DOUBLE)) AS flops_cost_s,
               max(attributes['{names.JOB_STATUS}']) AS status, max(attributes['{names.ERROR_TYPE}']) AS error_type
        FROM reported GROUP BY ALL
    ),
    placed AS (
        SELECT *, coalesce(TRY_CAST(said['{names.JOB_DEVICES}'] AS JSON)::VARCHAR[], []) AS devices FROM told
    ),
    busy AS (
        SELECT p.slot, p.leg, avg(m.value) AS gpu_utilization
        FROM placed p, metric_points m
        WHERE m.metric = '{instruments.GPU_UTILIZATION.name}' AND list_contains(p.devices, m.device)
          AND m.time_ns >= p.slot AND m.time_ns < p.slot + $slot
        GROUP BY ALL
    )
    SELECT make_timestamp(slot // 1000) AS started_at, job_id, leg, make_timestamp(leg_ns // 1000) AS leg_started_at,
           make_timestamp(heard_ns // 1000) AS heard_at, said['{names.JOB_NAME}'] AS name,
           said['{names.JOB_PARENT}'] AS parent_id, said['{names.HOST_NAME}'] AS host,
           TRY_CAST(said['{names.PROCESS_PID}'] AS BIGINT) AS pid,
           CASE WHEN len(devices) > 0 THEN 'gpu' ELSE 'cpu' END AS device_type, devices,
           TRY_CAST(said['{names.JOB_THREADS}'] AS BIGINT) AS cpu_threads, said['{names.JOB_PRECISION}'] AS precision,
           TRY_CAST(said['{names.JOB_CHECKPOINTING}'] AS BOOLEAN) AS gradient_checkpointing,
           flops_method, flops_cost_s, steps::BIGINT AS steps, samples::BIGINT AS samples, tokens::BIGINT AS tokens,
           flops, duration_s, cpu_s, gpu_utilization, loss, status, error_type
    FROM placed LEFT JOIN busy USING (slot, leg) ORDER BY slot, leg"""


def cpu_seconds(store: Store, low: int, high: int) -> pa.Table:
    """CPU seconds of all jobs in [low, high) as the ledger takes them (``analytics.ledger.jobs.JOB_COLUMNS``)."""
    bounds = {"metric": instruments.PROCESS_CPU_TIME.name, "low": low, "high": high}
    return store.query(CPU_SECONDS, bounds)


def settle_progress(store: Store, since_ns: int, until_ns: int) -> None:
    """Write the minutes of ``job_progress`` again that have reports received after ``since_ns``, up to ``until_ns``."""
    minutes = store.query(NEW_MINUTES, {"since": since_ns, "until": until_ns, "minute": MINUTE_NS})[
        "minute"
    ].to_pylist()
    if minutes:
        reach = {"low": min(minutes), "high": max(minutes) + MINUTE_NS}
        bounds = {**reach, "minutes": minutes, "minute": MINUTE_NS, "slot": SLOT_S * SECOND_NS}
        store.replace_buckets({RELATION: store.query(PROGRESS, bounds)}, {RELATION: sorted(minutes)})
