-- title: Carbon intensity
-- unit: g/kW.h
-- better: lower
-- grain: bucket, tier, tenant, model, basis
-- needs: energy_intervals
-- definition: Grams of CO2e per kWh of the grid, mean over the joules that were spent (without PUE), one row per basis:
--   average and marginal are never mixed. factor names zone, year and source; estimated is the share of the joules whose
--   factor is not a reading of their time. A grid serves everybody: groups and filters do not change it.
SELECT
    bucket(i.started_at, CAST($bucket_s AS DOUBLE)) AS bucket,
    CAST(NULL AS VARCHAR) AS tier, CAST(NULL AS VARCHAR) AS tenant, CAST(NULL AS VARCHAR) AS model,
    i.grid_basis AS basis,
    string_agg(DISTINCT concat_ws(' ', i.grid_zone, i.grid_year, i.grid_source), '; ') AS factor,
    ratio(sum(i.total_j) FILTER (WHERE i.grid_estimated), sum(i.total_j)) AS estimated,
    ratio(sum(i.grid_g_per_kwh * i.total_j), sum(i.total_j)) AS value,
    count(*) AS n
FROM energy_intervals i
WHERE i.grid_basis IS NOT NULL AND i.started_at >= CAST($start AS TIMESTAMP) AND i.started_at < CAST($end AS TIMESTAMP)
GROUP BY ALL
