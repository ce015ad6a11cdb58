-- Joules of one attempt from one device in one energy interval and component: the ledger's finest grain.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns   BIGINT NOT NULL,             -- the ten seconds of UTC that started_at lies in
    generation  BIGINT NOT NULL,
    request_id  VARCHAR NOT NULL,
    attempt     INTEGER NOT NULL,
    device      VARCHAR NOT NULL,
    started_at  TIMESTAMP NOT NULL,          -- of the energy interval
    component   VARCHAR NOT NULL,            -- steps | prefill | decode | context
    joules      DOUBLE NOT NULL,
    variance_j2 DOUBLE                       -- of joules; NULL: not stated
);
