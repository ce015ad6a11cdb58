-- One row per load-test run or training run, written once when it starts and once when it ends (newest row wins).
CREATE TABLE IF NOT EXISTS runs (
    recorded_at   TIMESTAMP NOT NULL,
    run_id        VARCHAR NOT NULL,
    kind          VARCHAR NOT NULL,          -- load | train | demo
    scenario      VARCHAR,
    arm           VARCHAR,
    status        VARCHAR NOT NULL,          -- started | finished | failed
    started_at    TIMESTAMP,
    ended_at      TIMESTAMP,
    requests_sent BIGINT,
    requests_ok   BIGINT,
    summary       VARCHAR                    -- JSON: settings and what the client itself counted
);
