-- title: Time to result of jobs
-- unit: s
-- better: lower
-- grain: bucket, tier, tenant, model
-- needs: job_progress
-- definition: Median over the training and batch jobs that ended well in the bucket of the time from the first start of a
--   job to that end, pauses between a stop and its resumption included; n counts jobs.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model,
    q(epoch(ended_at - first_started_at), 0.5) AS value,
    count(*) AS n
FROM (
    SELECT g_bucket, g_tier, g_tenant, g_model, job_id, max(heard_at) AS ended_at, min(first_started_at) AS first_started_at
    FROM scoped_jobs WHERE status = 'ok' GROUP BY ALL
)
GROUP BY ALL
