-- title: End-to-end latency, p50
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Exact 50th percentile of the time from accepting or sending a request to its last byte, over
--   successful requests: a refusal within a millisecond must not look like speed. Cache hits count.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    q(e2e_s, 0.50) AS value,
    count(*) AS n
FROM scoped_requests
WHERE success
GROUP BY ALL
