-- title: Output tokens per second
-- unit: {token}/s
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Output tokens of all requests that started in the bucket, cache hits included, divided by its
--   seconds inside the window.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(output_tokens), max(window_seconds(g_bucket, $bucket_s, $start, $end))) AS value,
    count(*) AS n
FROM scoped_requests
WHERE output_tokens IS NOT NULL
GROUP BY ALL
