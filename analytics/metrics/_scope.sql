-- Put before every metric: requests cut to the window and the filters, with the group each row belongs to. After it come
-- `_parts.sql`, a policy of `analytics/idle` and `_balance.sql`. A dimension that is not in $by is NULL in its g_ column,
-- so GROUP BY ALL merges over it; without $bucket_s there is one bucket. An empty filter list lets everything through.
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
