-- Roll-up of `energy_spent` to hours, without runs. An hour has rows here only while they agree with it, as in `request_hours`;
-- and only if every bucket with joules has its slots.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns   BIGINT NOT NULL,             -- UTC hour
    generation  BIGINT NOT NULL,
    started_at  TIMESTAMP NOT NULL,          -- of the hour
    part        VARCHAR NOT NULL,            -- successful | failed | job | idle | overhead | unattributed
    tier        VARCHAR,
    tenant      VARCHAR,
    model       VARCHAR,
    wasted      BOOLEAN NOT NULL,            -- the request failed, or another try answered it
    quality     VARCHAR,                     -- measured | estimated | simulated
    joules      DOUBLE NOT NULL,
    entries     BIGINT NOT NULL,             -- rows of the finest grain that were summed
    co2e_g           DOUBLE,                 -- charges of the joules; see energy_intervals
    co2e_embodied_g  DOUBLE,
    cost_energy      DOUBLE,
    cost_device      DOUBLE,
    currency         VARCHAR,
    grid_basis       VARCHAR,
    grid_factor      VARCHAR,                -- zone, year and source of the intensity
    grid_estimated   BOOLEAN
);
