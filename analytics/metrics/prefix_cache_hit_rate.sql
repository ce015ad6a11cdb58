-- title: Prefix-cache hit rate
-- unit: 1
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Cached input tokens divided by input tokens, over requests that report both; n counts those
--   requests.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(cached_tokens), sum(input_tokens)) AS value,
    CAST(sum(prefix_requests) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
HAVING sum(prefix_requests) > 0
