-- Joules of each attempt in each 2 s interval it ran in, by component, as the ledger writes them.
WITH tries AS (
    SELECT request_id, energy_j, epoch_us(started_at) // 2_000_000 AS first, epoch_us(ended_at) // 2_000_000 AS last
    FROM requests
    WHERE energy_j IS NOT NULL AND started_at >= $start AND started_at < $end
),
pieces AS (SELECT *, unnest(range(first, last + 1)) AS k FROM tries)
SELECT request_id, 1 AS attempt, 'GPU-0' AS device, make_timestamp(k * 2_000_000) AS started_at,
       unnest(['steps', 'prefill', 'decode', 'context']) AS component,
       unnest([0.4, 0.2, 0.3, 0.1]) * energy_j / (last - first + 1) AS joules, 1e-4 AS variance_j2
FROM pieces
WHERE k * 2_000_000 < epoch_us(CAST($end AS TIMESTAMP))
ORDER BY started_at
