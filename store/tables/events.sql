-- Deployments, load tests, price and model changes: vertical rules on charts.
CREATE TABLE IF NOT EXISTS events (
    recorded_at TIMESTAMP NOT NULL,
    "at"        TIMESTAMP NOT NULL,          -- a reserved word: quote it in SQL
    kind        VARCHAR NOT NULL,
    title       VARCHAR NOT NULL,
    detail      VARCHAR
);
