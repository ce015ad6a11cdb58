-- title: CO2e per 1000 successful tokens
-- unit: g/k{token}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Operational grams of CO2e (joules x PUE x carbon intensity of the time they were spent) per 1000 output
--   tokens of successful requests, over the same joules and in the same rows as energy per successful token. basis,
--   factor and factor_estimated name the intensity. NULL unless every joule of the row has a factor (covered is their
--   share) of one basis: average and marginal grams are never added.
SELECT bucket, tier, tenant, model, part, co2e_g, tokens, joules, quality, basis, factor, factor_estimated,
       co2e_covered AS covered,
       CASE WHEN co2e_covered > 1 - 1e-9 THEN 1000 * ratio(co2e_g, tokens) END AS value, n
FROM balance
