-- title: Time per output token, p95
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Exact 95th percentile over requests of (end - first token) / (output tokens - 1).
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    q(tpot_s, 0.95) AS value,
    count(*) AS n
FROM scoped_requests
WHERE tpot_s IS NOT NULL
GROUP BY ALL
