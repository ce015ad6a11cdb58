-- title: amortised
-- definition: Idle joules are shared over groups by their output tokens of successful requests in the window, or in each
--   time bucket; where nobody earned a token they stay a row of their own. A filter does not change a share.
earning AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket, tier, tenant,
           coalesce(model_served, model_requested) AS model, run_id, CAST(sum(output_tokens) AS DOUBLE) AS tokens
    FROM requests
    WHERE success AND started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
    GROUP BY ALL HAVING sum(output_tokens) > 0
),
shares AS (SELECT *, tokens / sum(tokens) OVER (PARTITION BY bucket) AS share FROM earning),
idling AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket, min(started_at) AS started_at, quality, currency,
           grid_basis, grid_factor, grid_estimated, sum(joules) AS joules, sum(entries) AS entries,
           sum(co2e_g) AS co2e_g, sum(co2e_embodied_g) AS co2e_embodied_g, sum(cost_energy) AS cost_energy,
           sum(cost_device) AS cost_device
    FROM parts WHERE part = 'idle' GROUP BY ALL
),
charged AS (
    SELECT *, part IN ('successful', 'failed') AS owned FROM parts WHERE part <> 'idle'
    UNION ALL BY NAME
    SELECT i.* EXCLUDE (bucket, joules, co2e_g, co2e_embodied_g, cost_energy, cost_device),
           s.tier, s.tenant, s.model, s.run_id, 'idle' AS part, FALSE AS wasted, s.share IS NOT NULL AS owned,
           coalesce(s.share, 1) * i.joules AS joules, coalesce(s.share, 1) * i.co2e_g AS co2e_g,
           coalesce(s.share, 1) * i.co2e_embodied_g AS co2e_embodied_g,
           coalesce(s.share, 1) * i.cost_energy AS cost_energy, coalesce(s.share, 1) * i.cost_device AS cost_device
    FROM idling i LEFT JOIN shares s ON s.bucket IS NOT DISTINCT FROM i.bucket
),
