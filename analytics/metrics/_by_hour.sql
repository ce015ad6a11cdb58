-- From roll-ups, where an hour lies whole in the window and is summed; the other hours are loose and summed from rows. The
-- join with few buckets (of 10 s, and minutes of older releases) lets DuckDB skip what lies between them.
passing AS (
    SELECT hour FROM range(date_trunc('hour', CAST($start AS TIMESTAMP)), CAST($end AS TIMESTAMP), INTERVAL 1 HOUR) h(hour)
),
tens AS (SELECT 10_000_000_000 * ten AS ten_ns FROM range(360) t(ten)),
rolled_requests AS (
    SELECT * FROM request_hours
    WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
),
counted_hours AS (SELECT DISTINCT started_at AS hour FROM rolled_requests),
uncounted AS (
    SELECT 1000 * epoch_us(hour) + ten_ns AS bucket_ns FROM (FROM passing ANTI JOIN counted_hours USING (hour)), tens
),
loose_requests AS (
    SELECT r.* FROM requests_measured r SEMI JOIN uncounted ON uncounted.bucket_ns = r.bucket_ns
    WHERE r.started_at >= CAST($start AS TIMESTAMP) AND r.started_at < CAST($end AS TIMESTAMP)
),
tallies AS (
    SELECT * REPLACE (bucket(started_at, CAST($bucket_s AS DOUBLE)) AS started_at) FROM rolled_requests
    UNION ALL BY NAME
    {tallies}
),
rolled_energy AS (
    SELECT * FROM energy_hours
    WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at + INTERVAL 1 HOUR <= CAST($end AS TIMESTAMP)
),
summed_hours AS (SELECT DISTINCT started_at AS hour FROM rolled_energy),
unsummed AS (
    SELECT 1000 * epoch_us(hour) + ten_ns AS bucket_ns FROM (FROM passing ANTI JOIN summed_hours USING (hour)), tens
),
slots_spent AS (
    SELECT *, CAST(NULL AS VARCHAR) AS run_id FROM rolled_energy
    UNION ALL BY NAME
    SELECT s.* EXCLUDE (bucket_ns)
    FROM energy_spent_bucketed s SEMI JOIN unsummed ON unsummed.bucket_ns = s.bucket_ns
    WHERE s.started_at >= CAST($start AS TIMESTAMP) AND s.started_at < CAST($end AS TIMESTAMP)
),
