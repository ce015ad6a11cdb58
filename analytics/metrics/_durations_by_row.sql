{duration}_durations AS (
    SELECT *, CAST(NULL AS BIGINT) AS upto, CAST(NULL AS BIGINT) AS of_all, CAST(0 AS DOUBLE) AS relative_error
    FROM ({values of scoped_requests})
),
