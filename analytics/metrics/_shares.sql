-- What policies of idle joules share them by: tokens of successful requests, and the idle joules of a bucket.
earning AS (
    SELECT started_at AS bucket, tier, tenant, model, run_id, CAST(sum(successful_tokens) AS DOUBLE) AS tokens
    FROM tallies GROUP BY ALL HAVING sum(successful_tokens) > 0
),
idling AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS bucket, min(started_at) AS started_at, quality, currency,
           grid_basis, grid_factor, grid_estimated, sum(joules) AS joules, sum(entries) AS entries,
           sum(co2e_g) AS co2e_g, sum(co2e_embodied_g) AS co2e_embodied_g, sum(cost_energy) AS cost_energy,
           sum(cost_device) AS cost_device
    FROM parts WHERE part = 'idle' GROUP BY ALL
),
