-- Where the joules and their charges went, cut to the filters and grouped, and what they earned. `charged` comes from an
-- idle policy; `owned` joules belong to the group they carry, the others to nobody, so that any filter leaves them out.
bucketed AS (
    SELECT bucket(started_at, CAST($bucket_s AS DOUBLE)) AS g_bucket, * EXCLUDE (started_at) FROM charged
),
scoped_energy AS ({scoped bucketed}),
scoped_tallies AS ({scoped (SELECT started_at AS g_bucket, * EXCLUDE (started_at) FROM tallies)}),
-- One row per group and part: everything that was spent beside the output tokens of successful requests. Without groups
-- and filters one row, part total. With groups: part attributed over the group's own tokens, idle and unattributed as
-- rows of their own over all tokens of the bucket. Jobs are not serving and not in it. Grams of two bases and money of
-- two currencies are never added: then the sum is NULL and the label names both.
fleet AS (
    SELECT len(CAST($by AS VARCHAR[])) + len(CAST($tiers AS VARCHAR[])) + len(CAST($tenants AS VARCHAR[]))
         + len(CAST($models AS VARCHAR[])) + len(CAST($runs AS VARCHAR[])) = 0 AS is_fleet
),
spent AS (
    SELECT g_bucket, g_tier, g_tenant, g_model,
           CASE WHEN is_fleet THEN 'total' WHEN owned THEN 'attributed'
                WHEN part = 'overhead' THEN 'unattributed' ELSE part END AS part,
           sum(joules) AS joules, worst_quality(quality) AS quality,
           CASE WHEN count(DISTINCT grid_basis) <= 1 THEN sum(co2e_g) END AS co2e_g,
           ratio(sum(joules) FILTER (WHERE co2e_g IS NOT NULL), sum(joules)) AS co2e_covered,
           sum(co2e_embodied_g) AS co2e_embodied_g,
           CASE WHEN count(DISTINCT currency) <= 1 THEN sum(cost_energy) END AS cost_energy,
           CASE WHEN count(DISTINCT currency) <= 1 THEN sum(cost_device) END AS cost_device,
           ratio(sum(joules) FILTER (WHERE currency IS NOT NULL), sum(joules)) AS cost_covered,
           list(DISTINCT currency) FILTER (WHERE currency IS NOT NULL) AS currencies,
           string_agg(DISTINCT grid_basis, ', ' ORDER BY grid_basis) AS basis,
           string_agg(DISTINCT grid_factor, '; ' ORDER BY grid_factor) FILTER (WHERE grid_basis IS NOT NULL) AS factor,
           bool_or(grid_estimated) AS factor_estimated
    FROM scoped_energy, fleet
    WHERE part <> 'job'
    GROUP BY ALL
),
earned AS (
    SELECT g_bucket, g_tier, g_tenant, g_model, CASE WHEN is_fleet THEN 'total' ELSE 'attributed' END AS part,
           CAST(sum(successful_tokens) AS BIGINT) AS tokens, CAST(sum(requests) AS BIGINT) AS n,
           sum(cost_tokens) AS cost_tokens,
           list(DISTINCT currency) FILTER (WHERE currency IS NOT NULL) AS token_currencies
    FROM scoped_tallies, fleet
    GROUP BY ALL
),
earned_by_all AS (
    SELECT g_bucket, CAST(sum(tokens) AS BIGINT) AS tokens, CAST(sum(n) AS BIGINT) AS n FROM earned GROUP BY ALL
),
of_groups AS (
    SELECT coalesce(s.g_bucket, e.g_bucket) AS bucket, coalesce(s.g_tier, e.g_tier) AS tier,
           coalesce(s.g_tenant, e.g_tenant) AS tenant, coalesce(s.g_model, e.g_model) AS model,
           coalesce(s.part, e.part) AS part, s.* EXCLUDE (g_bucket, g_tier, g_tenant, g_model, part),
           e.tokens, e.n, e.cost_tokens, e.token_currencies
    FROM (SELECT * FROM spent WHERE part IN ('attributed', 'total')) s
    FULL JOIN earned e
      ON s.g_bucket IS NOT DISTINCT FROM e.g_bucket AND s.g_tier IS NOT DISTINCT FROM e.g_tier
     AND s.g_tenant IS NOT DISTINCT FROM e.g_tenant AND s.g_model IS NOT DISTINCT FROM e.g_model
),
of_nobody AS (
    SELECT s.g_bucket AS bucket, s.g_tier AS tier, s.g_tenant AS tenant, s.g_model AS model, s.part,
           s.* EXCLUDE (g_bucket, g_tier, g_tenant, g_model, part), a.tokens, a.n,
           CAST(NULL AS DOUBLE) AS cost_tokens, CAST(NULL AS VARCHAR[]) AS token_currencies
    FROM spent s LEFT JOIN earned_by_all a ON s.g_bucket IS NOT DISTINCT FROM a.g_bucket
    WHERE s.part IN ('idle', 'unattributed')
),
balance AS (
    SELECT * EXCLUDE (currencies, token_currencies, n),
           list_sort(list_distinct(list_concat(coalesce(currencies, []), coalesce(token_currencies, [])))) AS money,
           coalesce(n, 0) AS n
    FROM (SELECT * FROM of_groups UNION ALL BY NAME SELECT * FROM of_nobody)
),
-- Components and sum of the money of a row. Unknown where only some of its joules have a price.
paid AS (
    SELECT *, array_to_string(money, ', ') AS currency,
           CASE WHEN len(money) = 1 AND coalesce(cost_covered, 0) NOT BETWEEN 1e-9 AND 1 - 1e-9
                 AND coalesce(cost_energy, cost_device, cost_tokens) IS NOT NULL
                THEN coalesce(cost_energy, 0) + coalesce(cost_device, 0) + coalesce(cost_tokens, 0) END AS cost
    FROM balance
)
