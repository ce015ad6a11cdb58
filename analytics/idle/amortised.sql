-- title: amortised
-- definition: Idle joules are shared over groups by their output tokens of successful requests in the window, or in each
--   time bucket; where nobody earned a token they stay a row of their own. A filter does not change a share.
shares AS (SELECT *, tokens / sum(tokens) OVER (PARTITION BY bucket) AS share FROM earning),
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
