-- In the engine before prefill began.
SELECT *, CAST(NULL AS VARCHAR) AS origin, queue_s AS value FROM {rows} WHERE queue_s IS NOT NULL
