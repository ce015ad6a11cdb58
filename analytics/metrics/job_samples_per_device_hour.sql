-- title: Samples per device-hour
-- unit: {sample}/h
-- better: higher
-- grain: bucket, tier, tenant, model, device_type
-- needs: job_progress
-- definition: Samples that training and batch jobs worked through divided by the hours for which they held their devices:
--   each GPU counts, the CPU of a host counts as one device. One row per kind of device and never mixed; n counts jobs.
SELECT
    g_bucket AS bucket, g_tier AS tier, g_tenant AS tenant, g_model AS model, device_type,
    CAST(sum(samples) AS BIGINT) AS samples, sum(device_s) AS device_s,
    ratio(sum(samples), sum(device_s) / 3600) AS value,
    count(DISTINCT job_id) AS n
FROM scoped_jobs
GROUP BY ALL
