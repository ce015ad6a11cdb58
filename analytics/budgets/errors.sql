-- Requests without success, and all of them.
SELECT
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN tenant END AS tenant,
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN coalesce(model_served, model_requested) END AS model,
    CAST(count(*) FILTER (WHERE NOT success) AS DOUBLE) AS spent,
    count(*) AS events
FROM requests_measured
WHERE started_at >= CAST($start AS TIMESTAMP)
  AND started_at < CAST($end AS TIMESTAMP)
  AND (CAST($tenant AS VARCHAR) IS NULL OR tenant = CAST($tenant AS VARCHAR))
  AND (CAST($tier AS VARCHAR) IS NULL OR tier = CAST($tier AS VARCHAR))
GROUP BY ALL
