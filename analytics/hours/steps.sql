SELECT * EXCLUDE (step, n), list(step ORDER BY step) AS steps, list(n ORDER BY step) AS counts
FROM (
    SELECT
        {moment} AS started_at, {duration} AS duration, tier, tenant, coalesce(model_served, model_requested) AS model, origin,
        log_step(value) AS step, count(*) AS n
    FROM {rows}
    GROUP BY ALL
)
GROUP BY ALL
