-- title: Requests per second
-- unit: {request}/s
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Requests that started in the bucket divided by its seconds inside the window. No row where nothing
--   started.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(count(*), max(window_seconds(g_bucket, $bucket_s, $start, $end))) AS value,
    count(*) AS n
FROM scoped_requests
GROUP BY ALL
