-- One row per log record that says something about a model call: an error, a finish reason, a first token.
-- Day tables call_events_YYYYMMDD by day of arrival (UTC). Settlement takes from here what the span itself lacks.
CREATE TABLE IF NOT EXISTS {name} (
    received_ns          BIGINT NOT NULL,
    trace_id             VARCHAR NOT NULL,   -- 32 hex digits
    span_id              VARCHAR NOT NULL,   -- 16 hex digits: the span it was logged in
    time_ns              BIGINT NOT NULL,    -- when it happened; when it was observed, if that is all it says
    name                 VARCHAR,            -- the event's; NULL for a plain log record
    severity             INTEGER,            -- OpenTelemetry's severity number, 1 to 24; 17 and over are errors
    service              VARCHAR,            -- resource service.name
    instance             VARCHAR,            -- resource service.instance.id
    scope                VARCHAR,            -- instrumentation scope
    error_type           VARCHAR,            -- error.type, else exception.type
    finish_reason        VARCHAR,
    streamed             BOOLEAN,
    ttft_s               DOUBLE,             -- as it was sent
    is_first_token       BOOLEAN NOT NULL,   -- the event itself is the first token
    attributes           MAP(VARCHAR, VARCHAR),
    resource             MAP(VARCHAR, VARCHAR)
);
