-- title: Response-cache hit rate
-- unit: 1
-- better: higher
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Exact and semantic hits divided by cacheable requests. A request without a cache result was not
--   cacheable and is not counted.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(count(*) FILTER (WHERE cache_result IN ('exact', 'semantic')), count(*)) AS value,
    count(*) AS n
FROM scoped_requests
WHERE cache_result IS NOT NULL
GROUP BY ALL
