-- Where each training or batch job stood at the end of each slot of 10 s in which it was heard of. Counts are cumulative
-- over a leg (one run of the process; a resumed job has several), so a lost report costs nothing; the view `jobs` sums.
CREATE TABLE IF NOT EXISTS {name} (
    bucket_ns               BIGINT NOT NULL,     -- UTC minute of started_at
    generation              BIGINT NOT NULL,
    started_at              TIMESTAMP NOT NULL,  -- of the slot
    job_id                  VARCHAR NOT NULL,
    leg                     VARCHAR NOT NULL,
    leg_started_at          TIMESTAMP NOT NULL,
    heard_at                TIMESTAMP NOT NULL,  -- the newest report in the slot
    name                    VARCHAR,
    parent_id               VARCHAR,
    host                    VARCHAR,
    pid                     BIGINT,
    device_type             VARCHAR NOT NULL,    -- gpu | cpu
    devices                 VARCHAR[],           -- hw.id of its GPUs
    cpu_threads             BIGINT,
    precision               VARCHAR,
    gradient_checkpointing  BOOLEAN,
    flops_method            VARCHAR,             -- counted | stated
    flops_cost_s            DOUBLE,              -- what counting cost the job
    steps                   BIGINT,
    samples                 BIGINT,
    tokens                  BIGINT,
    flops                   DOUBLE,
    duration_s              DOUBLE,
    cpu_s                   DOUBLE,
    gpu_utilization         DOUBLE,              -- mean of hw.gpu.utilization over the slot and the job's GPUs
    loss                    DOUBLE,
    status                  VARCHAR,             -- ok | failed | interrupted, in the slot in which the leg ended
    error_type              VARCHAR
);
