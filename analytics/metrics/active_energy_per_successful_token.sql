-- title: Active energy per successful token
-- unit: J/{token}
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests, request_hours
-- definition: Energy attributed to successful requests divided by their output tokens, over requests whose energy
--   is known; tokens answered from the response cache count and cost nothing. Idle, unattributed and
--   failed joules are not in it.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    sum(active_j) AS joules,
    CAST(sum(active_tokens) AS BIGINT) AS tokens,
    worst_quality(quality) AS quality,
    ratio(sum(active_j), sum(active_tokens)) AS value,
    CAST(sum(active_requests) AS BIGINT) AS n
FROM scoped_tallies
GROUP BY ALL
HAVING sum(active_requests) > 0
