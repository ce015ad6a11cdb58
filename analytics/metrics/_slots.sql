-- Where the joules went, as `_parts.sql` tells it, where slots of 10 s have all of it: the store was asked. The finest grain
-- costs 15 ms to plan in each statement, though nothing of it is read.
parts AS (
    SELECT started_at, tier, tenant, model, run_id, part, wasted, joules, quality, entries,
           co2e_g, co2e_embodied_g, cost_energy, cost_device, currency, grid_basis, grid_factor, grid_estimated
    FROM slots_spent
),
