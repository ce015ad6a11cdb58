-- Operational grams of CO2e. Of the whole fleet: of every joule the meters counted, idle and unattributed included. Of a
-- tenant or a tier, and where it is split by tenant or model: of the active energy attributed to their requests.
WITH spent_grams AS (
    SELECT NULL AS tenant, NULL AS model, co2e_g
    FROM energy_intervals
    WHERE len(CAST($by AS VARCHAR[])) = 0
      AND CAST($tenant AS VARCHAR) IS NULL
      AND CAST($tier AS VARCHAR) IS NULL
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT tenant, coalesce(model_served, model_requested) AS model, co2e_g
    FROM requests
    WHERE (len(CAST($by AS VARCHAR[])) > 0 OR CAST($tenant AS VARCHAR) IS NOT NULL OR CAST($tier AS VARCHAR) IS NOT NULL)
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
      AND (CAST($tenant AS VARCHAR) IS NULL OR tenant = CAST($tenant AS VARCHAR))
      AND (CAST($tier AS VARCHAR) IS NULL OR tier = CAST($tier AS VARCHAR))
)
SELECT
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN tenant END AS tenant,
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN model END AS model,
    CAST(sum(co2e_g) AS DOUBLE) AS spent,
    count(co2e_g) AS events
FROM spent_grams
GROUP BY ALL
