-- title: Wasted energy
-- unit: J
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Attributed energy of failed, cancelled and timed-out requests, and of tries that another try had to
--   answer for (retries, refused escalations); joules is all attributed energy beside it. Rejected
--   speculation is not yet in it.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    sum(joules) AS joules,
    worst_quality(quality) AS quality,
    coalesce(sum(joules) FILTER (WHERE wasted), 0) AS value,
    CAST(sum(entries) AS BIGINT) AS n
FROM scoped_energy
WHERE part IN ('successful', 'failed')
GROUP BY ALL
