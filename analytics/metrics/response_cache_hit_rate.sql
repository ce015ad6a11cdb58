-- title: Response-cache hit rate
-- unit: 1
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Exact and semantic hits divided by cacheable requests. A request without a cache result was not
--   cacheable and is not counted.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(hits), sum(cacheable)) AS value,
    CAST(sum(cacheable) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
HAVING sum(cacheable) > 0
