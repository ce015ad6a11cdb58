-- Where the joules went, by the time they were spent, with their charges: part is successful, failed, job (training and
-- batch jobs), idle, overhead (what no engine and no job used) or unattributed; the parts sum to total_j of
-- energy_intervals. Joules of a request carry its group; the others belong to no group.
-- wasted: the request failed, or another try answered it. Read from slots of 10 s where window and buckets fit them and
-- the minute has them; every other minute is `lacking` and summed from the finest grain, where requests may have begun up
-- to a day before the window and joules of an older one count as unattributed. Without a lacking minute DuckDB reads
-- nothing of the finest grain. A minute lacks slots in open days only, where an old release settled it: then {open} leaves
-- the closed ones, which would cost 30 ms to bind, out of the statement.
fits AS (
    SELECT epoch_us(CAST($start AS TIMESTAMP)) % 10_000_000 = 0 AND epoch_us(CAST($end AS TIMESTAMP)) % 10_000_000 = 0
       AND coalesce(CAST($bucket_s AS DOUBLE) % 10 = 0, TRUE) AS slots
),
lacking AS (
    SELECT DISTINCT date_trunc('minute', make_timestamp(bucket_ns // 1000)) AS minute FROM (
        SELECT bucket_ns FROM manifest, fits
        WHERE slots AND relation IN ('attempt_energy', 'energy_intervals')
          AND bucket_ns > 1000 * epoch_us(CAST($start AS TIMESTAMP)) - 60_000_000_000
          AND bucket_ns < 1000 * epoch_us(CAST($end AS TIMESTAMP))
        EXCEPT
        SELECT bucket_ns FROM manifest WHERE relation = 'energy_spent'
    )
    UNION ALL
    SELECT minute FROM fits, range(date_trunc('minute', CAST($start AS TIMESTAMP)), CAST($end AS TIMESTAMP),
                                   INTERVAL 1 MINUTE) minutes(minute)
    WHERE NOT slots
),
is_lacking AS (SELECT 1 FROM lacking LIMIT 1), -- crossed in: DuckDB would else build a hash table of all requests for nobody
finest AS (
    SELECT e.started_at, e.device, e.request_id, e.attempt, e.joules
    FROM attempt_energy{open} e SEMI JOIN lacking ON lacking.minute = date_trunc('minute', e.started_at)
    WHERE e.started_at >= CAST($start AS TIMESTAMP) AND e.started_at < CAST($end AS TIMESTAMP)
),
balances AS (
    SELECT i.*, nullif(concat_ws(' ', i.grid_zone, i.grid_year, i.grid_source), '') AS grid_factor
    FROM energy_intervals{open} i SEMI JOIN lacking ON lacking.minute = date_trunc('minute', i.started_at)
    WHERE i.started_at >= CAST($start AS TIMESTAMP) AND i.started_at < CAST($end AS TIMESTAMP)
),
rates AS ( -- what one joule of a device's interval carries
    SELECT device, started_at,
           ratio(sum(co2e_g), sum(total_j)) AS co2e_g, ratio(sum(co2e_embodied_g), sum(total_j)) AS co2e_embodied_g,
           ratio(sum(cost_energy), sum(total_j)) AS cost_energy, ratio(sum(cost_device), sum(total_j)) AS cost_device,
           any_value(currency) AS currency, any_value(grid_basis) AS grid_basis,
           any_value(grid_factor) AS grid_factor, any_value(grid_estimated) AS grid_estimated
    FROM balances GROUP BY ALL
),
nobodys AS ( -- an interval without joules has charges of time: nobody's
    SELECT *, coalesce(ratio(joules, total_j), CASE WHEN kind = 'rest' THEN 1 ELSE 0 END) AS share,
           CASE WHEN kind <> 'rest' THEN kind
                WHEN unattributed_reason = 'overhead' THEN 'overhead' ELSE 'unattributed' END AS part
    FROM (
        SELECT b.*, kind,
               CASE kind WHEN 'job' THEN b.attributed_j WHEN 'idle' THEN b.idle_j ELSE b.unattributed_j END AS joules
        FROM balances b, (SELECT unnest(['job', 'idle', 'rest']) AS kind)
        WHERE kind <> 'job' OR b.job IS NOT NULL
    )
),
owners AS (
    SELECT r.request_id, r.success, r.tier, r.tenant, coalesce(r.model_served, r.model_requested) AS model, r.run_id,
           r.energy_quality AS quality
    FROM (SELECT r.* FROM requests{open} r, is_lacking) r SEMI JOIN finest ON finest.request_id = r.request_id
    WHERE r.started_at >= CAST($start AS TIMESTAMP) - INTERVAL 1 DAY AND r.started_at < CAST($end AS TIMESTAMP)
),
tries AS (
    SELECT a.request_id, a.attempt, a.outcome
    FROM (SELECT a.* FROM attempts{open} a, is_lacking) a SEMI JOIN finest ON finest.request_id = a.request_id
    WHERE a.started_at >= CAST($start AS TIMESTAMP) - INTERVAL 1 DAY AND a.started_at < CAST($end AS TIMESTAMP)
),
parts AS (
    SELECT s.started_at, s.tier, s.tenant, s.model, s.run_id, s.part, s.wasted, s.joules, s.quality, s.entries,
           s.co2e_g, s.co2e_embodied_g, s.cost_energy, s.cost_device, s.currency,
           s.grid_basis, s.grid_factor, s.grid_estimated
    FROM slots_spent s, fits
    WHERE slots
    UNION ALL
    SELECT e.started_at, o.tier, o.tenant, o.model, o.run_id,
           CASE WHEN o.success THEN 'successful' WHEN NOT o.success THEN 'failed' ELSE 'unattributed' END AS part,
           coalesce(NOT o.success, FALSE) OR coalesce(t.outcome <> 'answered', FALSE) AS wasted,
           e.joules, o.quality, 1,
           e.joules * c.co2e_g, e.joules * c.co2e_embodied_g, e.joules * c.cost_energy, e.joules * c.cost_device,
           c.currency, c.grid_basis, c.grid_factor, c.grid_estimated
    FROM finest e
    LEFT JOIN owners o ON o.request_id = e.request_id
    LEFT JOIN tries t ON t.request_id = e.request_id AND t.attempt = e.attempt
    LEFT JOIN rates c ON c.device = e.device AND c.started_at = e.started_at
    UNION ALL
    SELECT started_at, NULL, NULL, NULL, NULL, part, FALSE, joules, quality, 1,
           share * co2e_g, share * co2e_embodied_g, share * cost_energy, share * cost_device,
           currency, grid_basis, grid_factor, grid_estimated
    FROM nobodys
),
