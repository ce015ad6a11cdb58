-- title: End-to-end latency, p99
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests, duration_hours
-- definition: 99th percentile of the time from accepting or sending a request to its last byte, over
--   successful requests: a refusal within a millisecond must not look like speed. Cache hits count.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    percentile(value, upto, of_all, 0.99) AS value,
    CAST(coalesce(max(of_all), count(*)) AS BIGINT) AS n,
    max(relative_error) AS relative_error
FROM e2e_durations
GROUP BY ALL
