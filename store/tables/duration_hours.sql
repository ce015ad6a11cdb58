-- Roll-up of `requests`: how many durations of an hour fell into each step of 2 % (log_step), one row per group and kind.
-- A percentile read from it errs by at most 1 % of its value. Hours are those of `request_hours`.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns   BIGINT NOT NULL,             -- UTC hour
    generation  BIGINT NOT NULL,
    started_at  TIMESTAMP NOT NULL,          -- of the hour
    duration    VARCHAR NOT NULL,            -- e2e | itl | queue | tpot | ttft: a file of analytics/hours/durations
    tier        VARCHAR,
    tenant      VARCHAR,
    model       VARCHAR,                     -- served, else requested
    origin      VARCHAR,                     -- who saw the first token; ttft only
    steps       SMALLINT[] NOT NULL,         -- those with values, ascending
    counts      BIGINT[] NOT NULL            -- how many values lie in each of steps
);
