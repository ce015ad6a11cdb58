-- Each value where the hours have few of them, else values counted by step. Crossed in, the one without rows costs nothing.
{duration}_is_much AS (SELECT 1 FROM rolled_requests HAVING coalesce(sum({counted}), 0) > {exact_values}),
{duration}_is_little AS (SELECT 1 FROM rolled_requests HAVING coalesce(sum({counted}), 0) <= {exact_values}),
{duration}_rows AS NOT MATERIALIZED (SELECT r.* FROM scoped_requests r, {duration}_is_little),
{duration}_counted AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket, tier, tenant, model, CAST(NULL AS VARCHAR) AS run_id,
           origin, log_step_value(step) AS value, n
    FROM duration_hours, {duration}_is_much
    WHERE duration = '{duration}'
      AND started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)), tier, tenant, coalesce(model_served, model_requested), NULL,
           origin, log_step_value(log_step(value)), 1
    FROM ({values of loose_requests}), {duration}_is_much
),
{duration}_merged AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, value, sum(n) AS n FROM ({scoped {duration}_counted}) GROUP BY ALL
),
{duration}_durations AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, value, CAST(NULL AS BIGINT) AS upto, CAST(NULL AS BIGINT) AS of_all,
           CAST(0 AS DOUBLE) AS relative_error
    FROM ({values of {duration}_rows})
    UNION ALL
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, value,
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin ORDER BY value) AS BIGINT),
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin) AS BIGINT), 0.01
    FROM {duration}_merged
),
