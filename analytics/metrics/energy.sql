-- title: Energy
-- unit: J
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Where the joules went, by the time they were spent: successful and failed requests (attributed),
--   training and batch jobs, idle, overhead (what no engine and no job used) and unattributed (what engines used and no visible request claims). Rows sum to
--   total_j of the energy intervals. Under a filter only attributed joules are counted, because the others belong to
--   nobody.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    part,
    worst_quality(quality) AS quality,
    sum(joules) AS value,
    CAST(sum(entries) AS BIGINT) AS n
FROM scoped_energy
GROUP BY ALL
