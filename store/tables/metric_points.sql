-- One row per metric data point as received. Day tables metric_points_YYYYMMDD by day of arrival (UTC).
-- Cumulative sums are stored as they came; readers take differences. Energy is joules.
CREATE TABLE IF NOT EXISTS {name} (
    received_ns  BIGINT NOT NULL,
    metric       VARCHAR NOT NULL,
    unit         VARCHAR,
    kind         VARCHAR NOT NULL,   -- sum | gauge | histogram
    monotonic    BOOLEAN,
    temporality  VARCHAR,            -- cumulative | delta
    time_ns      BIGINT NOT NULL,
    start_ns     BIGINT,
    value        DOUBLE,             -- of a histogram: its sum
    count        BIGINT,             -- histograms only
    bounds       DOUBLE[],
    counts       BIGINT[],
    service      VARCHAR,
    instance     VARCHAR,
    engine       VARCHAR,            -- tokenjoule.engine
    device       VARCHAR,            -- hw.id
    device_type  VARCHAR,            -- hw.type
    source       VARCHAR,            -- nvml.counter | nvml.power | rapl | amdsmi | otlp | model | replay
    scope        VARCHAR,            -- gpu | module | cpu_package | dram | host
    quality      VARCHAR,            -- measured | estimated | simulated
    attributes   MAP(VARCHAR, VARCHAR),
    resource     MAP(VARCHAR, VARCHAR),
    job          VARCHAR             -- tokenjoule.job.id; instance is then the leg
);
