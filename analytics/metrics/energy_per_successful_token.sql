-- title: Energy per successful token
-- unit: J/{token}
-- better: lower
-- grain: bucket, tier, tenant, model, part
-- needs: requests, attempts, attempt_energy, energy_intervals, energy_spent
-- definition: All joules of the window (successful and failed requests, idle, unattributed; not those of training and
--   batch jobs) divided by the output tokens of successful requests. Without groups: one row, part total. With groups: attributed rows per
--   group over that group's own tokens, and idle and unattributed as rows of their own over all tokens
--   of the bucket, so that joules sum to the total. Under a filter: part attributed, because idle and
--   unattributed joules belong to nobody.
WITH fleet AS (
    SELECT len(CAST($by AS VARCHAR[])) + len(CAST($tiers AS VARCHAR[])) + len(CAST($tenants AS VARCHAR[]))
         + len(CAST($models AS VARCHAR[])) + len(CAST($runs AS VARCHAR[])) = 0 AS is_fleet
),
spent AS (
    SELECT g_bucket, g_tier, g_tenant, g_model,
           CASE WHEN is_fleet THEN 'total'
                WHEN part = 'overhead' THEN 'unattributed'
                WHEN part IN ('idle', 'unattributed') THEN part
                ELSE 'attributed' END AS part,
           sum(joules) AS joules, worst_quality(quality) AS quality
    FROM scoped_energy, fleet
    WHERE part <> 'job'
    GROUP BY ALL
),
earned AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, CASE WHEN is_fleet THEN 'total' ELSE 'attributed' END AS part,
           CAST(sum(output_tokens) FILTER (WHERE success) AS BIGINT) AS tokens, count(*) AS n
    FROM scoped_requests, fleet
    GROUP BY ALL
),
earned_by_all AS (
    SELECT g_bucket, CAST(sum(tokens) AS BIGINT) AS tokens, CAST(sum(n) AS BIGINT) AS n FROM earned GROUP BY ALL
),
of_groups AS (
    SELECT coalesce(s.g_bucket, e.g_bucket) AS bucket, coalesce(s.g_tier, e.g_tier) AS tier,
           coalesce(s.g_tenant, e.g_tenant) AS tenant, coalesce(s.g_model, e.g_model) AS model,
           coalesce(s.part, e.part) AS part, s.joules, e.tokens, s.quality, e.n
    FROM (SELECT * FROM spent WHERE part IN ('attributed', 'total')) s
    FULL JOIN earned e
      ON s.g_bucket IS NOT DISTINCT FROM e.g_bucket AND s.g_tier IS NOT DISTINCT FROM e.g_tier
     AND s.g_tenant IS NOT DISTINCT FROM e.g_tenant AND s.g_model IS NOT DISTINCT FROM e.g_model
),
of_nobody AS (
    SELECT s.g_bucket AS bucket, s.g_tier AS tier, s.g_tenant AS tenant, s.g_model AS model,
           s.part, s.joules, a.tokens, s.quality, a.n
    FROM spent s LEFT JOIN earned_by_all a ON s.g_bucket IS NOT DISTINCT FROM a.g_bucket
    WHERE s.part IN ('idle', 'unattributed')
)
SELECT bucket, tier, tenant, model, part, joules, tokens, quality, ratio(joules, tokens) AS value, coalesce(n, 0) AS n
FROM (SELECT * FROM of_groups UNION ALL SELECT * FROM of_nobody)
