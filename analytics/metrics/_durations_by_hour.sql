-- Values counted by step: hours have the counts, what no hour covers is counted here.
{duration}_counted AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket, tier, tenant, model, CAST(NULL AS VARCHAR) AS run_id,
           origin, unnest(steps) AS step, unnest(counts) AS n
    FROM duration_hours
    WHERE duration = '{duration}'
      AND started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)), tier, tenant, coalesce(model_served, model_requested), NULL,
           origin, log_step(value), 1
    FROM ({values of loose_requests})
),
{duration}_merged AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, step, sum(n) AS n FROM ({scoped {duration}_counted}) GROUP BY ALL
),
{duration}_durations AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, log_step_value(step) AS value,
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin ORDER BY step) AS BIGINT) AS upto,
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin) AS BIGINT) AS of_all,
           CAST(0.01 AS DOUBLE) AS relative_error
    FROM {duration}_merged
),
