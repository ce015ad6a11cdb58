-- title: Cost per request
-- unit: {currency}/{request}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Money spent in the window divided by its requests, with the components that are known: energy (joules x
--   PUE x price of the hour), device (its price per hour, also while it idles) and tokens (reported by the emitter, or
--   by the price of the model). Rows as in energy per successful token. NULL where only some joules have a price, or
--   where there are two currencies, which are then both named.
SELECT bucket, tier, tenant, model, part, cost_energy, cost_device, cost_tokens, cost, nullif(currency, '') AS currency,
       quality, ratio(cost, n) AS value, n
FROM paid
