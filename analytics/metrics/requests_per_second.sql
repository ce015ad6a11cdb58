-- title: Requests per second
-- unit: {request}/s
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Requests that started in the bucket divided by its seconds inside the window. No row where nothing
--   started.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(requests), max(window_seconds(g_bucket, $bucket_s, $start, $end))) AS value,
    CAST(sum(requests) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
