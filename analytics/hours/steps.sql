SELECT
    {moment} AS started_at, {duration} AS duration, tier, tenant, coalesce(model_served, model_requested) AS model, origin,
    log_step(value) AS step, count(*) AS n
FROM {rows}
GROUP BY ALL
