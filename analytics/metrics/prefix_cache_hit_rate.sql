-- title: Prefix-cache hit rate
-- unit: 1
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Cached input tokens divided by input tokens, over requests that report both; n counts those
--   requests.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(cached_input_tokens), sum(input_tokens)) AS value,
    count(*) AS n
FROM scoped_requests
WHERE cached_input_tokens IS NOT NULL AND input_tokens IS NOT NULL
GROUP BY ALL
