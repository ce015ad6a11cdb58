-- What was spent, by the groups asked for in $by. Of the whole fleet: every interval, idle and unattributed joules included.
-- Of a tenant or a tier, and where it is split by tenant or model: what is attributed to their requests.
spent AS (
    SELECT NULL AS tenant, NULL AS model, total_j AS joules, co2e_g, currency,
           CASE WHEN coalesce(cost_energy, cost_device) IS NOT NULL
                THEN coalesce(cost_energy, 0) + coalesce(cost_device, 0) END AS cost
    FROM energy_intervals
    WHERE len(CAST($by AS VARCHAR[])) = 0
      AND CAST($tenant AS VARCHAR) IS NULL
      AND CAST($tier AS VARCHAR) IS NULL
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN tenant END AS tenant,
           CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN coalesce(model_served, model_requested) END AS model,
           energy_j AS joules, co2e_g, currency, cost
    FROM requests
    WHERE (len(CAST($by AS VARCHAR[])) > 0 OR CAST($tenant AS VARCHAR) IS NOT NULL OR CAST($tier AS VARCHAR) IS NOT NULL)
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
      AND (CAST($tenant AS VARCHAR) IS NULL OR tenant = CAST($tenant AS VARCHAR))
      AND (CAST($tier AS VARCHAR) IS NULL OR tier = CAST($tier AS VARCHAR))
)
