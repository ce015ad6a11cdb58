-- title: Queue time, p95
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Exact 95th percentile of the time a request waited in the engine before its prefill began.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    q(queue_s, 0.95) AS value,
    count(*) AS n
FROM scoped_requests
WHERE queue_s IS NOT NULL
GROUP BY ALL
