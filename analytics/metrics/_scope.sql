-- Put before every metric: the two relations that metrics read, cut to the window and the filters, with the group each
-- row belongs to. A dimension that is not in $by is NULL in its g_ column, so GROUP BY ALL merges over it; without
-- $bucket_s there is one bucket. An empty filter list lets everything through.
WITH scoped_requests AS (
    SELECT
        bucket(r.started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tier') THEN r.tier END AS g_tier,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN r.tenant END AS g_tenant,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model')
             THEN coalesce(r.model_served, r.model_requested) END AS g_model,
        r.*
    FROM requests r
    WHERE r.started_at >= CAST($start AS TIMESTAMP)
      AND r.started_at < CAST($end AS TIMESTAMP)
      AND (len(CAST($tiers AS VARCHAR[])) = 0 OR list_contains(CAST($tiers AS VARCHAR[]), r.tier))
      AND (len(CAST($tenants AS VARCHAR[])) = 0 OR list_contains(CAST($tenants AS VARCHAR[]), r.tenant))
      AND (len(CAST($models AS VARCHAR[])) = 0
           OR list_contains(CAST($models AS VARCHAR[]), coalesce(r.model_served, r.model_requested)))
      AND (len(CAST($runs AS VARCHAR[])) = 0 OR list_contains(CAST($runs AS VARCHAR[]), r.run_id))
),
-- Where the joules went, by the time they were spent: part is successful, failed, job (training and batch jobs), idle,
-- overhead (what no engine and no job used) or unattributed, and without a filter the parts sum to total_j of
-- energy_intervals. Joules of a request carry its group; the others belong to no group, so any filter leaves them out.
-- wasted: the request failed, or another try answered it. Read from slots of 10 s where window and buckets fit them and the minute has them; every other minute is
-- `lacking` and summed from the finest grain, where requests may have begun up to a day before the window and joules of
-- an older one count as unattributed. Without a lacking minute DuckDB reads nothing of the finest grain.
fits AS (
    SELECT epoch_us(CAST($start AS TIMESTAMP)) % 10_000_000 = 0 AND epoch_us(CAST($end AS TIMESTAMP)) % 10_000_000 = 0
       AND coalesce(CAST($bucket_s AS DOUBLE) % 10 = 0, TRUE) AS slots
),
lacking AS (
    SELECT make_timestamp(bucket_ns // 1000) AS minute FROM manifest, fits
    WHERE slots AND relation IN ('attempt_energy', 'energy_intervals')
      AND bucket_ns > 1000 * epoch_us(CAST($start AS TIMESTAMP)) - 60_000_000_000
      AND bucket_ns < 1000 * epoch_us(CAST($end AS TIMESTAMP))
    EXCEPT
    SELECT make_timestamp(bucket_ns // 1000) FROM manifest WHERE relation = 'energy_spent'
    UNION ALL
    SELECT minute FROM fits, range(date_trunc('minute', CAST($start AS TIMESTAMP)), CAST($end AS TIMESTAMP),
                                   INTERVAL 1 MINUTE) minutes(minute)
    WHERE NOT slots
),
is_lacking AS (SELECT 1 FROM lacking LIMIT 1), -- crossed in: DuckDB would else build a hash table of all requests for nobody
finest AS (
    SELECT e.started_at, e.request_id, e.attempt, e.joules
    FROM attempt_energy e SEMI JOIN lacking ON lacking.minute = date_trunc('minute', e.started_at)
    WHERE e.started_at >= CAST($start AS TIMESTAMP) AND e.started_at < CAST($end AS TIMESTAMP)
),
balances AS (
    SELECT i.started_at, i.job, i.attributed_j, i.idle_j, i.unattributed_j, i.unattributed_reason, i.quality
    FROM energy_intervals i SEMI JOIN lacking ON lacking.minute = date_trunc('minute', i.started_at)
    WHERE i.started_at >= CAST($start AS TIMESTAMP) AND i.started_at < CAST($end AS TIMESTAMP)
),
owners AS (
    SELECT r.request_id, r.success, r.tier, r.tenant, coalesce(r.model_served, r.model_requested) AS model, r.run_id,
           r.energy_quality AS quality
    FROM (SELECT requests.* FROM requests, is_lacking) r SEMI JOIN finest ON finest.request_id = r.request_id
    WHERE r.started_at >= CAST($start AS TIMESTAMP) - INTERVAL 1 DAY AND r.started_at < CAST($end AS TIMESTAMP)
),
tries AS (
    SELECT a.request_id, a.attempt, a.outcome
    FROM (SELECT attempts.* FROM attempts, is_lacking) a SEMI JOIN finest ON finest.request_id = a.request_id
    WHERE a.started_at >= CAST($start AS TIMESTAMP) - INTERVAL 1 DAY AND a.started_at < CAST($end AS TIMESTAMP)
),
parts AS (
    SELECT s.started_at, s.tier, s.tenant, s.model, s.run_id, s.part, s.wasted, s.joules, s.quality, s.entries
    FROM energy_spent s, fits
    WHERE slots AND s.started_at >= CAST($start AS TIMESTAMP) AND s.started_at < CAST($end AS TIMESTAMP)
    UNION ALL
    SELECT e.started_at, o.tier, o.tenant, o.model, o.run_id,
           CASE WHEN o.success THEN 'successful' WHEN NOT o.success THEN 'failed' ELSE 'unattributed' END AS part,
           coalesce(NOT o.success, FALSE) OR coalesce(t.outcome <> 'answered', FALSE) AS wasted,
           e.joules, o.quality, 1
    FROM finest e
    LEFT JOIN owners o ON o.request_id = e.request_id
    LEFT JOIN tries t ON t.request_id = e.request_id AND t.attempt = e.attempt
    UNION ALL
    SELECT started_at, NULL, NULL, NULL, NULL, 'job', FALSE, attributed_j, quality, 1 FROM balances WHERE job IS NOT NULL
    UNION ALL
    SELECT started_at, NULL, NULL, NULL, NULL, 'idle', FALSE, idle_j, quality, 1 FROM balances
    UNION ALL
    SELECT started_at, NULL, NULL, NULL, NULL,
           CASE WHEN unattributed_reason = 'overhead' THEN 'overhead' ELSE 'unattributed' END,
           FALSE, unattributed_j, quality, 1
    FROM balances
),
scoped_energy AS (
    SELECT
        bucket(p.started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tier') THEN p.tier END AS g_tier,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN p.tenant END AS g_tenant,
        CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN p.model END AS g_model,
        p.part, p.wasted, p.joules, p.quality, p.entries
    FROM parts p
    WHERE (len(CAST($tiers AS VARCHAR[])) = 0 OR list_contains(CAST($tiers AS VARCHAR[]), p.tier))
      AND (len(CAST($tenants AS VARCHAR[])) = 0 OR list_contains(CAST($tenants AS VARCHAR[]), p.tenant))
      AND (len(CAST($models AS VARCHAR[])) = 0 OR list_contains(CAST($models AS VARCHAR[]), p.model))
      AND (len(CAST($runs AS VARCHAR[])) = 0 OR list_contains(CAST($runs AS VARCHAR[]), p.run_id))
)
