-- One row per request, settled from all its spans: counted once across client, gateway and engine.
-- Appended per bucket (ten seconds of UTC, by started_at) with a generation; day tables requests_YYYYMMDD by day of the bucket.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns            BIGINT NOT NULL,
    generation           BIGINT NOT NULL,
    request_id           VARCHAR NOT NULL,   -- trace id, a colon, root call span id
    trace_id             VARCHAR NOT NULL,
    tenant               VARCHAR,
    user_id              VARCHAR,
    tier                 VARCHAR,
    model_requested      VARCHAR,
    model_served         VARCHAR,
    engine               VARCHAR,
    operation            VARCHAR,
    priority             VARCHAR,
    region               VARCHAR,
    started_at           TIMESTAMP NOT NULL, -- UTC
    ended_at             TIMESTAMP NOT NULL,
    streamed             BOOLEAN,
    success              BOOLEAN NOT NULL,
    error_type           VARCHAR,
    finish_reason        VARCHAR,
    input_tokens         BIGINT,
    output_tokens        BIGINT,
    cached_input_tokens  BIGINT,
    cache_write_tokens   BIGINT,
    reasoning_tokens     BIGINT,
    queue_s              DOUBLE,
    prefill_s            DOUBLE,
    decode_s             DOUBLE,
    ttft_s               DOUBLE,
    tpot_s               DOUBLE,
    itl_s                DOUBLE[],
    first_token_origin   VARCHAR,            -- engine | gateway | client
    e2e_s                DOUBLE NOT NULL,
    success_basis        VARCHAR NOT NULL,   -- observed | inferred
    cache_result         VARCHAR,
    route_policy         VARCHAR,
    route_reason         VARCHAR,
    escalated_from       VARCHAR,
    draft_proposed       BIGINT,
    draft_accepted       BIGINT,
    exit_skipped         DOUBLE,             -- decoded positions' worth of layers that early exit left out
    quality_score        DOUBLE,
    run_id               VARCHAR,
    run_arm              VARCHAR,
    run_scenario         VARCHAR,
    energy_j             DOUBLE,             -- active energy of all its attempts; NULL: no energy data
    energy_se_j          DOUBLE,
    energy_quality       VARCHAR,            -- measured | estimated | simulated
    co2e_g               DOUBLE,             -- operational, of energy_j; NULL: no factor known
    cost                 DOUBLE,
    currency             VARCHAR,
    attributes           MAP(VARCHAR, VARCHAR),
    co2e_embodied_g      DOUBLE,             -- making the hardware, beside co2e_g; NULL: no figure is configured
    cost_energy          DOUBLE,             -- components of cost, each NULL where it has no price
    cost_device          DOUBLE,
    cost_tokens          DOUBLE,
    cost_basis           VARCHAR,            -- of cost_tokens: reported (by the emitter) | priced (by [collector.prices])
    price_source         VARCHAR,            -- of the prices behind cost
    pue                  DOUBLE,             -- co2e_g = energy_j × pue × grid_g_per_kwh ÷ 3.6e6
    grid_zone            VARCHAR,
    grid_g_per_kwh       DOUBLE,             -- mean over its joules
    grid_basis           VARCHAR,            -- average | marginal
    grid_source          VARCHAR,
    grid_year            INTEGER,            -- of a yearly mean
    grid_estimated       BOOLEAN,            -- not a reading of that moment: modelled, older, or a yearly mean
    energy_coverage      DOUBLE,             -- share of its running time that was metered; below 1 energy_j is of a part
    hardware_source      VARCHAR             -- of co2e_embodied_g and cost_device: what [[collector.hardware]] names
);
