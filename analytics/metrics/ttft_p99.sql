-- title: Time to first token, p99
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model, origin
-- needs: requests
-- definition: Exact 99th percentile of the time to first token, one row per origin and never mixed: engine
--   (arrival to first token), gateway and client (accepted or sent to first content, streamed requests
--   only).
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    first_token_origin AS origin,
    q(ttft_s, 0.99) AS value,
    count(*) AS n
FROM scoped_requests
WHERE ttft_s IS NOT NULL AND (first_token_origin = 'engine' OR streamed IS NOT FALSE)
GROUP BY ALL
