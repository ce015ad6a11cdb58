-- Requests of the window, by time bucket: `tallies` counts them per group before any filter, `scoped_requests` has them one
-- by one, cut to the filters, with the group each belongs to. A dimension that is not in $by is NULL in its g_ column, so
-- that GROUP BY ALL merges over it; without $bucket_s there is one bucket. An empty filter list lets everything through.
window_requests AS NOT MATERIALIZED (
    SELECT bucket(r.started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket, coalesce(r.model_served, r.model_requested) AS model, r.*
    FROM requests_measured r
    WHERE r.started_at >= CAST($start AS TIMESTAMP) AND r.started_at < CAST($end AS TIMESTAMP)
),
scoped_requests AS NOT MATERIALIZED ({scoped window_requests}),
