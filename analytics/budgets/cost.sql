-- Money spent, in the currency of the prices; not known where two currencies meet. Of the whole fleet: energy and device
-- time of every interval, idle included, and the tokens of every request. Of a tenant or a tier, and where it is split by
-- tenant or model: the cost of their requests.
WITH money AS (
    SELECT NULL AS tenant, NULL AS model, currency, coalesce(cost_energy, 0) + coalesce(cost_device, 0) AS cost
    FROM energy_intervals
    WHERE len(CAST($by AS VARCHAR[])) = 0
      AND CAST($tenant AS VARCHAR) IS NULL
      AND CAST($tier AS VARCHAR) IS NULL
      AND coalesce(cost_energy, cost_device) IS NOT NULL
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT tenant, coalesce(model_served, model_requested) AS model, currency,
           CASE WHEN len(CAST($by AS VARCHAR[])) = 0 AND CAST($tenant AS VARCHAR) IS NULL AND CAST($tier AS VARCHAR) IS NULL
                THEN cost_tokens ELSE cost END AS cost
    FROM requests
    WHERE started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
      AND (CAST($tenant AS VARCHAR) IS NULL OR tenant = CAST($tenant AS VARCHAR))
      AND (CAST($tier AS VARCHAR) IS NULL OR tier = CAST($tier AS VARCHAR))
)
SELECT
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN tenant END AS tenant,
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN model END AS model,
    CASE WHEN count(DISTINCT currency) <= 1 THEN CAST(sum(cost) AS DOUBLE) END AS spent,
    count(cost) AS events
FROM money
WHERE cost IS NOT NULL
GROUP BY ALL
