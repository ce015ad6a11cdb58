-- title: Device utilisation of jobs
-- unit: 1
-- better: higher
-- grain: bucket, tier, tenant, model, device_type
-- needs: job_progress
-- definition: On GPUs the share of time in which a kernel ran on the job's devices, whoever's kernel it was (NVML's
--   utilisation); on a CPU the job's CPU time divided by the time of all hardware threads it may use. Means over the
--   job's time, one row per kind of device and never mixed; n counts jobs.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model, device_type,
    ratio(sum(busy_s), sum(held_s)) AS value,
    count(DISTINCT job_id) AS n
FROM (
    SELECT *,
           CASE WHEN device_type = 'gpu' THEN gpu_utilization * device_s ELSE cpu_s END AS busy_s,
           CASE WHEN device_type <> 'gpu' THEN duration_s * cpu_threads
                WHEN gpu_utilization IS NOT NULL THEN device_s END AS held_s
    FROM scoped_jobs
)
GROUP BY ALL
