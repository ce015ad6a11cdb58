-- title: Active energy per successful token
-- unit: J/{token}
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests
-- definition: Energy attributed to successful requests divided by their output tokens, over requests whose energy
--   is known; tokens answered from the response cache count and cost nothing. Idle, unattributed and
--   failed joules are not in it.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    sum(energy_j) AS joules,
    CAST(sum(output_tokens) AS BIGINT) AS tokens,
    worst_quality(energy_quality) AS quality,
    ratio(sum(energy_j), sum(output_tokens)) AS value,
    count(*) AS n
FROM scoped_requests
WHERE success AND (energy_j IS NOT NULL OR cache_result IN ('exact', 'semantic'))
GROUP BY ALL
