-- Roll-up of `requests`: what those of an hour add up to, one row per group. An hour has rows here only while they agree with
-- `requests`: settling a bucket again empties its hour until the next pass of upkeep sums it (analytics/hours).
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns          BIGINT NOT NULL,      -- UTC hour
    generation         BIGINT NOT NULL,
    started_at         TIMESTAMP NOT NULL,   -- of the hour
    tier               VARCHAR,
    tenant             VARCHAR,
    model              VARCHAR,              -- served, else requested
    quality            VARCHAR,              -- of active_j: measured | estimated | simulated
    currency           VARCHAR,              -- of cost_tokens
    requests           BIGINT NOT NULL,
    failed             BIGINT NOT NULL,      -- without success
    gaps               BIGINT NOT NULL,      -- between tokens, that itl_s lists
    cacheable          BIGINT NOT NULL,      -- with a cache result
    hits               BIGINT NOT NULL,      -- exact | semantic
    output_requests    BIGINT NOT NULL,      -- that report output tokens
    output_tokens      BIGINT,
    successful_tokens  BIGINT,               -- output tokens of successful requests
    prefix_requests    BIGINT NOT NULL,      -- that report input and cached input tokens
    input_tokens       BIGINT,               -- of those
    cached_tokens      BIGINT,
    active_requests    BIGINT NOT NULL,      -- successful ones whose energy is known: given, or a cache hit
    active_j           DOUBLE,
    active_tokens      BIGINT,               -- their output tokens
    cost_tokens        DOUBLE
);
