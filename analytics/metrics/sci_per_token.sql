-- title: SCI per token
-- unit: g/{token}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Software Carbon Intensity (ISO/IEC 21031), (E x I + M) / R: operational grams with PUE (co2e_g) plus
--   embodied grams of the hardware for the time it was there (co2e_embodied_g), per output token of a successful
--   request. NULL unless every joule has a factor of one basis and embodied carbon is configured: M belongs to the
--   definition. Rows as in energy per successful token; without groups it has idle hardware in it, as SCI asks.
SELECT bucket, tier, tenant, model, part, co2e_g, co2e_embodied_g, tokens, quality, basis, factor, factor_estimated,
       CASE WHEN co2e_covered > 1 - 1e-9 THEN ratio(co2e_g + co2e_embodied_g, tokens) END AS value, n
FROM balance
