-- Requests of one day: $count of them from number $first, evenly over the day with jitter. Every value is a hash of the
-- request's number, so that two runs build the same store. Tokens are log-normal (chat: median 120 out, 600 in), four
-- tenants of unequal size, two tiers, 2 % errors, 20 % answered from the response cache where one may answer.
WITH dice AS (
    SELECT $first + i AS id,
           make_timestamp(CAST($day_us + (i + hash(i, $first, 0) % 1000 / 1000.0) * 86400e6 / $count AS BIGINT)) AS started_at,
           hash($first + i, 1) % 1000 / 1000.0 AS d1, hash($first + i, 2) % 1000 / 1000.0 AS d2,
           hash($first + i, 3) % 1000 / 1000.0 AS d3, hash($first + i, 4) % 997 / 997.0 + 0.0005 AS d4,
           hash($first + i, 5) % 991 / 991.0 + 0.0005 AS d5, hash($first + i, 6) % 100_000 / 100_000.0 AS d6
    FROM range($count) t(i)
),
drawn AS (
    SELECT *,
           d1 < 0.3 AS is_expert, d3 < 0.08 AS is_hit, d2 >= 0.98 AS has_failed,
           greatest(1, CAST(120 * exp(0.8 * sqrt(-2 * ln(d4)) * cos(2 * pi() * d5)) AS BIGINT)) AS output_tokens,
           greatest(8, CAST(600 * exp(0.9 * sqrt(-2 * ln(d4)) * sin(2 * pi() * d5)) AS BIGINT)) AS input_tokens
    FROM dice
),
timed AS (
    SELECT *,
           CASE WHEN is_hit THEN NULL ELSE 0.002 + 0.08 * d6 * d6 * d6 END AS queue_s,
           CASE WHEN is_hit THEN NULL ELSE 0.02 + input_tokens * 2e-5 END AS prefill_s,
           CASE WHEN is_hit THEN NULL ELSE (output_tokens - 1) * CASE WHEN is_expert THEN 0.016 ELSE 0.007 END END AS decode_s
    FROM drawn
)
SELECT
    md5(CAST(id AS VARCHAR)) || ':' || substr(md5(CAST(id + 7 AS VARCHAR)), 1, 16) AS request_id,
    md5(CAST(id AS VARCHAR)) AS trace_id,
    CASE WHEN d6 < 0.5 THEN 'acme' WHEN d6 < 0.8 THEN 'globex' WHEN d6 < 0.95 THEN 'initech' ELSE 'hooli' END AS tenant,
    'user-' || hash(id, 7) % 20_000 AS user_id,
    CASE WHEN is_expert THEN 'quality' ELSE 'economy' END AS tier,
    'auto' AS model_requested,
    CASE WHEN is_expert THEN 'expert' ELSE 'scout' END AS model_served,
    CASE WHEN is_expert THEN 'expert' ELSE 'scout' END AS engine,
    'chat' AS operation, 'normal' AS priority,
    started_at,
    started_at + to_microseconds(CAST(1e6 * coalesce(queue_s + prefill_s + decode_s + 0.003, 0.004) AS BIGINT)) AS ended_at,
    d2 < 0.8 AS streamed,
    NOT has_failed AS success,
    CASE WHEN has_failed THEN 'timeout' END AS error_type,
    CASE WHEN has_failed THEN NULL WHEN d3 < 0.9 THEN 'stop' ELSE 'length' END AS finish_reason,
    input_tokens, output_tokens,
    CASE WHEN is_hit THEN 0 ELSE CAST(input_tokens * d3 * 0.6 AS BIGINT) END AS cached_input_tokens,
    queue_s, prefill_s, decode_s,
    coalesce(queue_s + prefill_s, 0.003) AS ttft_s,
    decode_s / nullif(output_tokens - 1, 0) AS tpot_s,
    CASE WHEN id % 10 = 0 AND NOT is_hit
         THEN list_transform(range(least(output_tokens - 1, 200)), k -> 0.007 + hash(id, k) % 1000 * 1e-5) END AS itl_s,
    CASE WHEN is_hit THEN 'gateway' ELSE 'engine' END AS first_token_origin,
    coalesce(queue_s + prefill_s + decode_s + 0.003, 0.004) AS e2e_s,
    'observed' AS success_basis,
    CASE WHEN is_hit THEN 'exact' WHEN d3 < 0.4 THEN 'miss' END AS cache_result,
    'cascade' AS route_policy, CAST(NULL AS VARCHAR) AS run_id,
    CASE WHEN is_hit THEN NULL ELSE 0.5 + input_tokens * 2e-3 + output_tokens * 0.04 END AS energy_j,
    CASE WHEN is_hit THEN NULL ELSE 0.02 END AS energy_se_j,
    CASE WHEN is_hit THEN NULL ELSE 'measured' END AS energy_quality,
    MAP {'http.route': '/v1/chat/completions', 'server.port': CAST(8080 + id % 4 AS VARCHAR)} AS attributes
FROM timed
ORDER BY started_at
