-- Values of requests and how many there are of each: those of rows where the whole window has few, else those that stand for
-- the steps of 2 % that they were counted in.
{duration}_few AS (
    SELECT coalesce(sum(n), 0) <= {exact_values} AS few FROM duration_hours
    WHERE duration = '{duration}'
      AND started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
),
{duration}_minutes AS (
    SELECT bucket_ns FROM minutes LEFT JOIN counted_hours ON hour = date_trunc('hour', minute), {duration}_few
    WHERE few OR hour IS NULL
),
{duration}_rows AS (
    SELECT r.* FROM requests_bucketed r SEMI JOIN {duration}_minutes m ON m.bucket_ns = r.bucket_ns
    WHERE r.started_at >= CAST($start AS TIMESTAMP) AND r.started_at < CAST($end AS TIMESTAMP)
),
{duration}_counted AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket, tier, tenant, model, CAST(NULL AS VARCHAR) AS run_id,
           origin, log_step_value(step) AS value, few, n
    FROM duration_hours, {duration}_few
    WHERE NOT few AND duration = '{duration}'
      AND started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)), tier, tenant, coalesce(model_served, model_requested), NULL,
           origin, CASE WHEN few THEN value ELSE log_step_value(log_step(value)) END, few, 1
    FROM ({values of {duration}_rows}), {duration}_few
),
{duration}_merged AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, origin, value, few, sum(n) AS n FROM ({scoped {duration}_counted}) GROUP BY ALL
),
{duration}_durations AS (
    SELECT *, CAST(CASE WHEN few THEN 0 ELSE 0.01 END AS DOUBLE) AS relative_error,
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin ORDER BY value) AS BIGINT) AS upto,
           CAST(sum(n) OVER (PARTITION BY g_bucket, g_tier, g_tenant, g_model, origin) AS BIGINT) AS of_all
    FROM {duration}_merged
),
