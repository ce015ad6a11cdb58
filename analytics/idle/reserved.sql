-- title: reserved
-- definition: Idle joules are shared over tenants by their reservations (parts of the capacity, at most 1 in all), and
--   among a tenant's tiers, models and runs by their output tokens of successful requests. A tenant pays for what it
--   reserves though it sent nothing; what nobody reserved stays a row of its own. A filter does not change a share.
reservation AS (
    SELECT unnest(CAST($reserved_tenants AS VARCHAR[])) AS tenant, unnest(CAST($reserved_shares AS DOUBLE[])) AS share
),
within AS (SELECT *, tokens / sum(tokens) OVER (PARTITION BY bucket, tenant) AS part_of_tenant FROM earning),
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
