-- title: FLOPs per training token
-- unit: {operation}/{token}
-- better: lower
-- grain: bucket, tier, tenant, model, method
-- needs: job_progress
-- definition: Floating-point operations of training and batch jobs divided by the tokens they worked through; one row per
--   method and never mixed: counted (one step by torch's counter, multiplied; recomputed ones are in it, element-wise
--   ones and the optimizer are not) or stated by the job. n counts jobs.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model, flops_method AS method,
    sum(flops) AS flops, CAST(sum(tokens) AS BIGINT) AS tokens,
    ratio(sum(flops), sum(tokens)) AS value,
    count(DISTINCT job_id) AS n
FROM (
    SELECT * EXCLUDE (flops_method), max(flops_method) OVER (PARTITION BY leg) AS flops_method FROM scoped_jobs
)
WHERE flops_method IS NOT NULL
GROUP BY ALL
