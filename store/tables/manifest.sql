-- The current generation of each settled bucket: writing it is what makes a re-settled bucket visible, in one transaction.
-- The newest generation of a (relation, bucket) wins. Buckets of closed and of sealed days are not in it, all their rows are current; hours always are.
CREATE TABLE IF NOT EXISTS {name} (
    relation    VARCHAR NOT NULL,            -- a settled relation
    bucket_ns   BIGINT NOT NULL,
    generation  BIGINT NOT NULL
);
