-- title: Cost per million successful tokens
-- unit: {currency}/M{token}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: Money spent in the window, on failed requests too, per million output tokens of successful requests, with
--   the components that are known (energy, device, tokens). Rows as in energy per successful token. NULL where only
--   some joules have a price, or where there are two currencies, which are then both named.
SELECT bucket, tier, tenant, model, part, cost_energy, cost_device, cost_tokens, cost, nullif(currency, '') AS currency,
       tokens, quality, 1e6 * ratio(cost, tokens) AS value, n
FROM paid
