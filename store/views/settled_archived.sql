-- The current generation of a settled relation once days of it are archived: hot buckets as ever, and archived rows.
-- Sealing takes a day's buckets out of the manifest, so a bucket that is in it was settled again later and wins.
CREATE OR REPLACE VIEW {name} AS
SELECT settled.* EXCLUDE (bucket_ns, generation)
FROM {name}_rows AS settled
SEMI JOIN (
    SELECT bucket_ns, max(generation) AS generation
    FROM manifest
    WHERE relation = '{name}'
    GROUP BY bucket_ns
) AS current_generation USING (bucket_ns, generation)
UNION ALL BY NAME
SELECT archived.* EXCLUDE (bucket_ns)
FROM {archived} AS archived
ANTI JOIN (SELECT bucket_ns FROM manifest WHERE relation = '{name}') AS settled_again USING (bucket_ns);
