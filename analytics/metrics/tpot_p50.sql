-- title: Time per output token, p50
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests, duration_hours
-- definition: 50th percentile over requests of (end - first token) / (output tokens - 1).
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    percentile(value, upto, of_all, 0.50) AS value,
    CAST(coalesce(max(of_all), count(*)) AS BIGINT) AS n,
    max(relative_error) AS relative_error
FROM tpot_durations
GROUP BY ALL
