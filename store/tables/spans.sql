-- One row per span as received, kept whole. Day tables spans_YYYYMMDD by day of arrival (UTC); no keys, no indexes.
-- Times are UTC nanoseconds. Promoted columns hold what a metric filters or groups by, already normalised
-- by a dialect; everything else stays in `attributes`. NULL means not known; 0 means zero.
CREATE TABLE IF NOT EXISTS {name} (
    received_ns          BIGINT NOT NULL,
    trace_id             VARCHAR NOT NULL,   -- 32 hex digits
    span_id              VARCHAR NOT NULL,   -- 16 hex digits
    parent_span_id       VARCHAR,            -- NULL for a root
    name                 VARCHAR NOT NULL,
    kind                 VARCHAR NOT NULL,   -- UNSPECIFIED | INTERNAL | SERVER | CLIENT | PRODUCER | CONSUMER
    start_ns             BIGINT NOT NULL,
    end_ns               BIGINT NOT NULL,
    status               VARCHAR NOT NULL,   -- UNSET | OK | ERROR
    status_message       VARCHAR,
    service              VARCHAR,            -- resource service.name
    instance             VARCHAR,            -- resource service.instance.id
    scope                VARCHAR,            -- instrumentation scope
    dialect              VARCHAR,            -- which dialect recognised it; NULL: not a model call
    role                 VARCHAR,            -- client | gateway | attempt | engine; NULL: not a model call
    operation            VARCHAR,
    provider             VARCHAR,
    model_requested      VARCHAR,
    model_served         VARCHAR,
    request_id           VARCHAR,            -- the emitter's own id (gen_ai.request.id | gen_ai.response.id)
    engine               VARCHAR,            -- name of the engine instance
    tenant               VARCHAR,
    user_id              VARCHAR,
    session_id           VARCHAR,
    tier                 VARCHAR,
    priority             VARCHAR,
    region               VARCHAR,
    streamed             BOOLEAN,
    input_tokens         BIGINT,             -- cached ones included
    output_tokens        BIGINT,
    cached_input_tokens  BIGINT,
    cache_write_tokens   BIGINT,
    reasoning_tokens     BIGINT,
    queue_s              DOUBLE,
    prefill_s            DOUBLE,
    decode_s             DOUBLE,
    ttft_s               DOUBLE,
    e2e_s                DOUBLE,
    itl_s                DOUBLE[],
    finish_reason        VARCHAR,
    error_type           VARCHAR,
    cache_result         VARCHAR,            -- miss | exact | semantic; NULL: not cacheable
    route_policy         VARCHAR,
    route_reason         VARCHAR,
    escalated_from       VARCHAR,
    draft_proposed       BIGINT,
    draft_accepted       BIGINT,
    exit_skipped         DOUBLE,             -- decoded positions' worth of layers that early exit left out
    quality_score        DOUBLE,
    attempt              INTEGER,
    outcome              VARCHAR,            -- answered | refused | failed | cancelled
    run_id               VARCHAR,
    run_arm              VARCHAR,
    run_scenario         VARCHAR,
    cost                 DOUBLE,
    currency             VARCHAR,
    attributes           MAP(VARCHAR, VARCHAR),
    resource             MAP(VARCHAR, VARCHAR),
    events               VARCHAR             -- JSON array of span events, NULL without any
);
