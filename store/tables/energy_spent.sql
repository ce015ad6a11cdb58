-- Where the joules went in slots of 10 s, summed over requests: what energy metrics read instead of the finest grain.
-- Derived by settlement from attempt_energy and energy_intervals, in the same transaction; sums over a slot are equal.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns   BIGINT NOT NULL,             -- the ten seconds of UTC that started_at lies in
    generation  BIGINT NOT NULL,
    started_at  TIMESTAMP NOT NULL,          -- of the slot
    part        VARCHAR NOT NULL,            -- successful | failed | job | idle | overhead | unattributed
    tier        VARCHAR,
    tenant      VARCHAR,
    model       VARCHAR,
    run_id      VARCHAR,
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
