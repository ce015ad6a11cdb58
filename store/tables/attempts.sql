-- One row per try of a request on an engine: retries, escalations and hedges are attempts of one request.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns            BIGINT NOT NULL,    -- that of its request
    generation           BIGINT NOT NULL,
    request_id           VARCHAR NOT NULL,
    attempt              INTEGER NOT NULL,   -- 1, 2, …
    engine               VARCHAR,
    model                VARCHAR,
    outcome              VARCHAR NOT NULL,   -- answered | refused | failed | cancelled
    started_at           TIMESTAMP NOT NULL,
    prefill_started_at   TIMESTAMP,          -- NULL: the engine never computed for it, or sent no phases
    first_token_at       TIMESTAMP,
    ended_at             TIMESTAMP NOT NULL,
    input_tokens         BIGINT,
    cached_input_tokens  BIGINT,
    output_tokens        BIGINT,
    draft_proposed       BIGINT,
    draft_accepted       BIGINT,
    exit_skipped         DOUBLE,             -- decoded positions' worth of layers that early exit left out
    error_type           VARCHAR,
    energy_j             DOUBLE,
    energy_se_j          DOUBLE,
    energy_coverage      DOUBLE              -- share of its running time that was metered; below 1 energy_j is of a part
);
