-- Per output token after the first one, mean of each request.
SELECT *, CAST(NULL AS VARCHAR) AS origin, tpot_s AS value FROM {rows} WHERE tpot_s IS NOT NULL
