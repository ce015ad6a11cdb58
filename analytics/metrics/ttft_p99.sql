-- title: Time to first token, p99
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model, origin
-- needs: requests, duration_hours
-- definition: 99th percentile of the time to first token, one row per origin and never mixed: engine
--   (arrival to first token), gateway and client (accepted or sent to first content, streamed requests
--   only).
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    origin,
    percentile(value, upto, of_all, 0.99) AS value,
    CAST(coalesce(max(of_all), count(*)) AS BIGINT) AS n,
    max(relative_error) AS relative_error
FROM ttft_durations
GROUP BY ALL
