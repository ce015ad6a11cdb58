-- Put before metrics of training and batch jobs: what each job did in each slot of 10 s, and its joules, cut to the window
-- and the filters. A job's name stands for the model and its id for the run; it belongs to no tier and no tenant, so any
-- such filter leaves it out. Counts are cumulative per leg in the store: here they are differences between slots.
WITH differences AS (
    SELECT
        j.* EXCLUDE (samples, tokens, flops, duration_s, cpu_s),
        greatest(samples - coalesce(lag(samples IGNORE NULLS) OVER leg, 0), 0) AS samples,
        greatest(tokens - coalesce(lag(tokens IGNORE NULLS) OVER leg, 0), 0) AS tokens,
        greatest(flops - coalesce(lag(flops IGNORE NULLS) OVER leg, 0), 0) AS flops,
        greatest(duration_s - coalesce(lag(duration_s IGNORE NULLS) OVER leg, 0), 0) AS duration_s,
        greatest(cpu_s - coalesce(lag(cpu_s IGNORE NULLS) OVER leg, 0), 0) AS cpu_s
    FROM job_progress j
    WHERE j.started_at < CAST($end AS TIMESTAMP)
    WINDOW leg AS (PARTITION BY j.leg ORDER BY j.started_at)
),
chosen AS (
    SELECT job_id, max(name) AS name, min(leg_started_at) AS first_started_at FROM job_progress GROUP BY job_id
    HAVING len(CAST($tiers AS VARCHAR[])) = 0 AND len(CAST($tenants AS VARCHAR[])) = 0
       AND (len(CAST($models AS VARCHAR[])) = 0 OR list_contains(CAST($models AS VARCHAR[]), max(name)))
       AND (len(CAST($runs AS VARCHAR[])) = 0 OR list_contains(CAST($runs AS VARCHAR[]), job_id))
),
scoped_jobs AS (
    SELECT
        bucket(d.started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket,
        CAST(NULL AS VARCHAR) AS g_tier, CAST(NULL AS VARCHAR) AS g_tenant,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN c.name END AS g_model,
        c.first_started_at,
        d.duration_s * CASE WHEN d.device_type = 'gpu' THEN len(d.devices) ELSE 1 END AS device_s,
        d.*
    FROM differences d JOIN chosen c USING (job_id)
    WHERE d.started_at >= CAST($start AS TIMESTAMP) AND d.started_at < CAST($end AS TIMESTAMP)
),
scoped_work AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, job_id, samples, tokens, 0.0 AS joules, CAST(NULL AS VARCHAR) AS quality
    FROM scoped_jobs
    UNION ALL
    SELECT bucket(i.started_at, CAST($bucket_s AS DOUBLE)), NULL, NULL,
           CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN c.name END,
           i.job, NULL, NULL, i.attributed_j, i.quality
    FROM energy_intervals i JOIN chosen c ON c.job_id = i.job
    WHERE i.started_at >= CAST($start AS TIMESTAMP) AND i.started_at < CAST($end AS TIMESTAMP)
)
