-- title: Energy per successful token
-- unit: J/{token}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent, request_hours, energy_hours
-- definition: All joules of the window (successful and failed requests, idle, unattributed; not those of training and
--   batch jobs) divided by the output tokens of successful requests. Without groups: one row, part total. With groups:
--   attributed rows per group over that group's own tokens, with its share of idle joules if the idle policy gives it
--   one, and what belongs to nobody (idle, unattributed) as rows of their own over all tokens of the bucket, so that
--   joules sum to the total. Under a filter: part attributed.
SELECT bucket, tier, tenant, model, part, joules, tokens, quality, ratio(joules, tokens) AS value, n
FROM balance
