-- What alert rules found, append-only: one row per change of state.
CREATE TABLE IF NOT EXISTS alerts (
    recorded_at TIMESTAMP NOT NULL,
    rule        VARCHAR NOT NULL,
    budget      VARCHAR NOT NULL,
    scope       VARCHAR,
    state       VARCHAR NOT NULL,            -- firing | resolved | insufficient_data
    severity    VARCHAR,
    burn_rate   DOUBLE,
    detail      VARCHAR
);
