-- title: reserved
-- definition: Idle joules are shared over tenants by their reservations (parts of the capacity, at most 1 in all), and
--   among a tenant's tiers, models and runs by their output tokens of successful requests. A tenant pays for what it
--   reserves though it sent nothing; what nobody reserved stays a row of its own. A filter does not change a share.
reservation AS (
    SELECT unnest(CAST($reserved_tenants AS VARCHAR[])) AS tenant, unnest(CAST($reserved_shares AS DOUBLE[])) AS share
),
earning AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket, tier, tenant,
           coalesce(model_served, model_requested) AS model, run_id, CAST(sum(output_tokens) AS DOUBLE) AS tokens
    FROM requests
    WHERE success AND started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
    GROUP BY ALL HAVING sum(output_tokens) > 0
),
within AS (SELECT *, tokens / sum(tokens) OVER (PARTITION BY bucket, tenant) AS part_of_tenant FROM earning),
idling AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket, min(started_at) AS started_at, quality, currency,
           grid_basis, grid_factor, grid_estimated, sum(joules) AS joules, sum(entries) AS entries,
           sum(co2e_g) AS co2e_g, sum(co2e_embodied_g) AS co2e_embodied_g, sum(cost_energy) AS cost_energy,
           sum(cost_device) AS cost_device
    FROM parts WHERE part = 'idle' GROUP BY ALL
),
shared AS (
    SELECT i.*, w.tier, r.tenant, w.model, w.run_id, TRUE AS owned, r.share * coalesce(w.part_of_tenant, 1) AS share
    FROM idling i CROSS JOIN reservation r
    LEFT JOIN within w ON w.tenant = r.tenant AND w.bucket IS NOT DISTINCT FROM i.bucket
    UNION ALL BY NAME
    SELECT i.*, FALSE AS owned, 1 - coalesce((SELECT sum(share) FROM reservation), 0) AS share FROM idling i
),
charged AS (
    SELECT *, part IN ('successful', 'failed') AS owned FROM parts WHERE part <> 'idle'
    UNION ALL BY NAME
    SELECT * EXCLUDE (bucket, share) REPLACE (
               share * joules AS joules, share * co2e_g AS co2e_g, share * co2e_embodied_g AS co2e_embodied_g,
               share * cost_energy AS cost_energy, share * cost_device AS cost_device),
           'idle' AS part, FALSE AS wasted
    FROM shared WHERE share > 1e-12
),
