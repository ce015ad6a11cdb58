-- One row per training or batch job: counts summed over its legs, and the joules that the ledger attributes to it.
-- status is how its newest leg ended, or `running` while nothing was heard of an end (killed jobs stay so: see heard_at).
CREATE OR REPLACE VIEW {name} AS
WITH legs AS (
    SELECT job_id, leg, max(leg_started_at) AS leg_started_at, max(heard_at) AS heard_at,
           max(steps) AS steps, max(samples) AS samples, max(tokens) AS tokens, max(flops) AS flops,
           max(duration_s) AS duration_s, max(cpu_s) AS cpu_s, arg_max(loss, started_at) AS loss,
           coalesce(max(status), 'running') AS status, max(error_type) AS error_type,
           max(name) AS name, max(parent_id) AS parent_id, max(host) AS host, max(device_type) AS device_type,
           max(devices) AS devices, max(cpu_threads) AS cpu_threads, max(precision) AS precision,
           bool_or(gradient_checkpointing) AS gradient_checkpointing,
           max(flops_method) AS flops_method, max(flops_cost_s) AS flops_cost_s
    FROM job_progress GROUP BY job_id, leg
),
joules AS (
    SELECT job, sum(attributed_j) AS energy_j, worst_quality(quality) AS energy_quality
    FROM energy_intervals WHERE job IS NOT NULL GROUP BY job
)
SELECT
    l.job_id, max(l.name) AS name, max(l.parent_id) AS parent_id, count(*) AS legs,
    arg_max(l.status, l.leg_started_at) AS status, arg_max(l.error_type, l.leg_started_at) AS error_type,
    min(l.leg_started_at) AS started_at, max(l.heard_at) AS heard_at,
    epoch(max(l.heard_at) - min(l.leg_started_at)) AS elapsed_s,
    arg_max(l.host, l.leg_started_at) AS host, max(l.device_type) AS device_type, max(l.devices) AS devices,
    max(l.cpu_threads) AS cpu_threads, max(l.precision) AS precision,
    bool_or(l.gradient_checkpointing) AS gradient_checkpointing,
    CAST(sum(l.steps) AS BIGINT) AS steps, CAST(sum(l.samples) AS BIGINT) AS samples,
    CAST(sum(l.tokens) AS BIGINT) AS tokens, sum(l.flops) AS flops, max(l.flops_method) AS flops_method,
    sum(l.flops_cost_s) AS flops_cost_s, sum(l.duration_s) AS duration_s, sum(l.cpu_s) AS cpu_s,
    arg_max(l.loss, l.leg_started_at) AS loss,
    any_value(j.energy_j) AS energy_j, any_value(j.energy_quality) AS energy_quality
FROM legs AS l LEFT JOIN joules AS j ON j.job = l.job_id
GROUP BY l.job_id;
