-- title: Inter-token latency, p95
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Exact 95th percentile over all gaps between consecutive token arrivals of requests that report them;
--   n counts gaps.
WITH gaps AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, unnest(itl_s) AS gap_s
    FROM scoped_requests
)
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    q(gap_s, 0.95) AS value,
    count(*) AS n
FROM gaps
GROUP BY ALL
