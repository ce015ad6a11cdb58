-- title: Error rate
-- unit: 1
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Requests without success divided by all requests. Success: no error type, a finish reason of stop,
--   length or tool_calls, and the last byte delivered.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    ratio(sum(failed), sum(requests)) AS value,
    CAST(sum(requests) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
