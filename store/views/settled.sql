-- The current generation of a settled relation, without its bookkeeping columns: what everybody reads.
-- A bucket whose newest generation has no rows is empty; readers see a re-settled bucket whole or not at all.
CREATE OR REPLACE VIEW {name} AS
SELECT settled.* EXCLUDE (bucket_ns, generation)
FROM {name}_rows AS settled
SEMI JOIN (
    SELECT bucket_ns, max(generation) AS generation
    FROM manifest
    WHERE relation = '{name}'
    GROUP BY bucket_ns
) AS current_generation USING (bucket_ns, generation);
