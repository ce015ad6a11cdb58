-- The ledger's balance: per device, interval and engine, total_j = attributed_j + idle_j + unattributed_j.
-- Rows with engine NULL carry a device's idle energy and what no engine used (reason `overhead`); over all rows
-- of one device and interval total_j sums to the difference of its energy counter. Rows with job carry what a training
-- or batch job used: all of it is attributed.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns            BIGINT NOT NULL,    -- the ten seconds of UTC that started_at lies in
    generation           BIGINT NOT NULL,
    device               VARCHAR NOT NULL,
    engine               VARCHAR,
    started_at           TIMESTAMP NOT NULL,
    ended_at             TIMESTAMP NOT NULL,
    total_j              DOUBLE NOT NULL,
    attributed_j         DOUBLE NOT NULL,
    idle_j               DOUBLE NOT NULL,
    unattributed_j       DOUBLE NOT NULL,
    unattributed_reason  VARCHAR,            -- unclaimed | no_work | overhead | unshared | gap
    predicted_j          DOUBLE,
    scale                DOUBLE,
    residual_j           DOUBLE,
    method               VARCHAR NOT NULL,   -- counters_affine | spans_affine | phase_weighted | time_overlap | output_tokens | cpu_time | equal_shares | none
    source               VARCHAR,
    scope                VARCHAR,
    quality              VARCHAR NOT NULL,
    job                  VARCHAR,            -- job_id of job_progress
    co2e_g               DOUBLE,             -- operational: total_j × pue × grid_g_per_kwh ÷ 3.6e6
    co2e_embodied_g      DOUBLE,             -- the device's time, split as its joules are
    cost_energy          DOUBLE,
    cost_device          DOUBLE,
    currency             VARCHAR,
    price_source         VARCHAR,
    pue                  DOUBLE,
    grid_zone            VARCHAR,
    grid_g_per_kwh       DOUBLE,
    grid_basis           VARCHAR,            -- average | marginal
    grid_source          VARCHAR,
    grid_year            INTEGER,
    grid_estimated       BOOLEAN,
    hardware_source      VARCHAR             -- of co2e_embodied_g and cost_device: what [[collector.hardware]] names
);
