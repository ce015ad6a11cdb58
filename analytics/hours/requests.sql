SELECT
    {moment} AS started_at, tier, tenant, coalesce(model_served, model_requested) AS model, {run} AS run_id,
    CASE WHEN is_active THEN energy_quality END AS quality,
    CASE WHEN cost_tokens IS NOT NULL THEN currency END AS currency,
    count(*) AS requests,
    count(*) FILTER (WHERE NOT success) AS failed,
    CAST(coalesce(sum(len(itl_s)), 0) AS BIGINT) AS gaps,
    count(cache_result) AS cacheable,
    count(*) FILTER (WHERE is_hit) AS hits,
    count(output_tokens) AS output_requests,
    CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
    CAST(sum(output_tokens) FILTER (WHERE success) AS BIGINT) AS successful_tokens,
    count(input_tokens + cached_input_tokens) AS prefix_requests,
    CAST(sum(input_tokens) FILTER (WHERE cached_input_tokens IS NOT NULL) AS BIGINT) AS input_tokens,
    CAST(sum(cached_input_tokens) FILTER (WHERE input_tokens IS NOT NULL) AS BIGINT) AS cached_tokens,
    count(*) FILTER (WHERE is_active) AS active_requests,
    sum(energy_j) FILTER (WHERE is_active) AS active_j,
    CAST(sum(output_tokens) FILTER (WHERE is_active) AS BIGINT) AS active_tokens,
    sum(cost_tokens) AS cost_tokens
FROM (
    SELECT *, coalesce(cache_result IN ('exact', 'semantic'), FALSE) AS is_hit,
           success AND (energy_j IS NOT NULL OR is_hit) AS is_active
    FROM {rows}
)
GROUP BY ALL
