-- Daily cost of each tenant, model and engine, and of the joules that no request was charged for, as FOCUS has it.
-- A request belongs to the day it began. Rows of one currency each; grams of two bases are never added (NULL).
WITH served AS (
    SELECT date_trunc('day', started_at) AS day, tenant, coalesce(model_served, model_requested) AS model, engine,
           any_value(region) AS region, currency, 'requests' AS part,
           count(*) AS requests, CAST(sum(output_tokens) AS DOUBLE) AS tokens, sum(energy_j) AS joules,
           sum(cost) AS cost, sum(cost_energy) AS cost_energy, sum(cost_device) AS cost_device,
           sum(cost_tokens) AS cost_tokens, sum(co2e_embodied_g) AS co2e_embodied_g,
           CASE WHEN count(DISTINCT grid_basis) < 2 THEN sum(co2e_g) END AS co2e_g,
           worst_quality(energy_quality) AS quality, string_agg(DISTINCT grid_basis, '; ' ORDER BY grid_basis) AS grid_basis,
           string_agg(DISTINCT concat_ws(' ', grid_zone, grid_year, grid_source), '; ')
               FILTER (WHERE grid_zone IS NOT NULL) AS factor,
           bool_or(grid_estimated) AS factor_estimated, any_value(price_source) AS price_source,
           any_value(hardware_source) AS hardware_source
    FROM requests
    WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
    GROUP BY ALL
),
shares AS (
    SELECT i.*, kind,
           CASE kind WHEN 'job' THEN i.attributed_j WHEN 'idle' THEN i.idle_j ELSE i.unattributed_j END AS joules,
           CASE WHEN kind <> 'rest' THEN kind WHEN i.unattributed_reason = 'overhead' THEN 'overhead'
                ELSE 'unattributed' END AS part
    FROM energy_intervals i, (SELECT unnest(['job', 'idle', 'rest']) AS kind)
    WHERE i.started_at >= CAST($start AS TIMESTAMP) AND i.started_at < CAST($end AS TIMESTAMP)
      AND (kind <> 'job' OR i.job IS NOT NULL)
),
nobodys AS (
    SELECT date_trunc('day', started_at) AS day, engine, currency, part, sum(joules) AS joules,
           sum(cost_energy * w) AS cost_energy, sum(cost_device * w) AS cost_device,
           CASE WHEN count(DISTINCT grid_basis) < 2 THEN sum(co2e_g * w) END AS co2e_g,
           sum(co2e_embodied_g * w) AS co2e_embodied_g,
           worst_quality(quality) AS quality, string_agg(DISTINCT grid_basis, '; ' ORDER BY grid_basis) AS grid_basis,
           string_agg(DISTINCT concat_ws(' ', grid_zone, grid_year, grid_source), '; ')
               FILTER (WHERE grid_zone IS NOT NULL) AS factor,
           bool_or(grid_estimated) AS factor_estimated, any_value(price_source) AS price_source,
           any_value(hardware_source) AS hardware_source
    FROM (SELECT *, coalesce(ratio(joules, total_j), CASE WHEN kind = 'rest' THEN 1 ELSE 0 END) AS w FROM shares)
    GROUP BY ALL
    HAVING sum(joules) > 0 OR sum(cost_device * w) > 0
)
SELECT * FROM served
UNION ALL BY NAME
SELECT *, CASE WHEN coalesce(cost_energy, cost_device) IS NOT NULL
               THEN coalesce(cost_energy, 0) + coalesce(cost_device, 0) END AS cost FROM nobodys
ORDER BY day, part, tenant, model, engine, currency
