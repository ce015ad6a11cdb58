-- title: Energy per training token
-- unit: J/{token}
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: job_progress, energy_intervals
-- definition: Joules that the ledger attributes to training and batch jobs divided by the tokens they worked through, by
--   the time both happened; model is the job's name, n counts jobs. Failed jobs keep their joules and tokens. Idle
--   energy is not in it.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    sum(joules) AS joules, CAST(sum(tokens) AS BIGINT) AS tokens, worst_quality(quality) AS quality,
    CASE WHEN worst_quality(quality) IS NOT NULL THEN ratio(sum(joules), sum(tokens)) END AS value,
    count(DISTINCT job_id) AS n
FROM scoped_work
GROUP BY ALL
