-- Joules by slots of 10 s, as analytics/ledger/spending.py sums them: of requests by their group, idle and unattributed.
WITH owners AS (
    SELECT request_id, success, tier, tenant, coalesce(model_served, model_requested) AS model, run_id, energy_quality
    FROM requests WHERE started_at >= $start AND started_at < $end
),
pieces AS (
    SELECT e.started_at, CASE WHEN o.success THEN 'successful' ELSE 'failed' END AS part, o.tier, o.tenant, o.model, o.run_id,
           NOT o.success AS wasted, o.energy_quality AS quality, e.joules
    FROM attempt_energy e JOIN owners o USING (request_id)
    WHERE e.started_at >= $start AND e.started_at < $end
    UNION ALL
    SELECT started_at, part, NULL, NULL, NULL, NULL, FALSE, quality, joules
    FROM (
        SELECT started_at, quality, unnest(['idle', 'unattributed']) AS part, unnest([idle_j, unattributed_j]) AS joules
        FROM energy_intervals WHERE started_at >= $start AND started_at < $end
    )
)
SELECT make_timestamp(epoch_us(started_at) // 10_000_000 * 10_000_000) AS started_at, part, tier, tenant, model, run_id, wasted,
       quality, sum(joules) AS joules, count(*) AS entries
FROM pieces
GROUP BY ALL
ORDER BY started_at
