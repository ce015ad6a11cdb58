-- Carbon intensity of a grid zone over time; average and marginal are different series and never mixed.
CREATE TABLE IF NOT EXISTS grid_intensity (
    zone         VARCHAR NOT NULL,
    started_at   TIMESTAMP NOT NULL,
    g_per_kwh    DOUBLE NOT NULL,
    basis        VARCHAR NOT NULL,           -- average | marginal
    source       VARCHAR NOT NULL,
    year         INTEGER,
    estimated    BOOLEAN NOT NULL,
    recorded_at  TIMESTAMP NOT NULL,
    ended_at     TIMESTAMP,                  -- NULL: it holds for an hour, or until the next
    emissions    VARCHAR                     -- lifecycle | direct (combustion only); NULL: not stated
);
