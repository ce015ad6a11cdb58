-- The current generation of each settled bucket: writing it is what makes a re-settled bucket visible, in one transaction.
-- Append-only; the newest generation of a (relation, bucket) wins.
CREATE TABLE IF NOT EXISTS {name} (
    relation    VARCHAR NOT NULL,            -- requests | attempts | attempt_energy | energy_intervals
    bucket_ns   BIGINT NOT NULL,
    generation  BIGINT NOT NULL
);
