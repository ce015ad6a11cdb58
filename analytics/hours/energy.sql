-- Rows with and without grams stay apart, so that a sum still says how much of its joules they cover.
SELECT * EXCLUDE (has_no_grams) FROM (
    SELECT
        {moment} AS started_at, part, tier, tenant, model, wasted, quality,
        currency, grid_basis, grid_factor, grid_estimated, co2e_g IS NULL AS has_no_grams,
        sum(joules) AS joules, CAST(sum(entries) AS BIGINT) AS entries,
        sum(co2e_g) AS co2e_g, sum(co2e_embodied_g) AS co2e_embodied_g,
        sum(cost_energy) AS cost_energy, sum(cost_device) AS cost_device
    FROM {rows}
    GROUP BY ALL
)
