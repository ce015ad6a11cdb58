-- Money spent, in the currency of the prices; not known where two currencies meet. Of the whole fleet: energy and device
-- time of every interval, idle included, and the tokens of every request. Of a tenant or a tier, and where it is split by
-- tenant or model: the cost of their requests.
WITH {spent},
money AS (
    SELECT tenant, model, currency, cost FROM spent
    UNION ALL
    SELECT NULL AS tenant, NULL AS model, currency, cost_tokens AS cost
    FROM requests
    WHERE len(CAST($by AS VARCHAR[])) = 0
      AND CAST($tenant AS VARCHAR) IS NULL
      AND CAST($tier AS VARCHAR) IS NULL
      AND started_at >= CAST($start AS TIMESTAMP)
      AND started_at < CAST($end AS TIMESTAMP)
)
SELECT
    tenant,
    model,
    CASE WHEN count(DISTINCT currency) <= 1 THEN CAST(sum(cost) AS DOUBLE) END AS spent,
    count(cost) AS events
FROM money
WHERE cost IS NOT NULL
GROUP BY ALL
