-- title: Training loss
-- unit: {loss}
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: job_progress
-- definition: Mean over jobs of the newest loss that each reported in the bucket; with time buckets, the course of the
--   loss. n counts jobs.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    avg(loss) AS value,
    count(*) AS n
FROM (
    SELECT g_bucket, g_tier, g_tenant, g_model, job_id, arg_max(loss, heard_at) AS loss
    FROM scoped_jobs WHERE loss IS NOT NULL GROUP BY ALL
)
GROUP BY ALL
