-- Every gap between two tokens of a request.
-- counted: gaps
SELECT * EXCLUDE (itl_s), CAST(NULL AS VARCHAR) AS origin, unnest(itl_s) AS value FROM {rows}
