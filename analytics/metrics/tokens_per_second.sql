-- title: Output tokens per second
-- unit: {token}/s
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Output tokens of all requests that started in the bucket, cache hits included, divided by its
--   seconds inside the window.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(output_tokens), max(window_seconds(g_bucket, $bucket_s, $start, $end))) AS value,
    CAST(sum(output_requests) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
HAVING sum(output_requests) > 0
