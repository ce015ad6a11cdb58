-- One attempt per request that reached an engine, from the day's table of requests.
SELECT request_id, 1 AS attempt, engine, model_served AS model,
       CASE WHEN success THEN 'answered' ELSE 'failed' END AS outcome,
       started_at,
       started_at + to_microseconds(CAST(1e6 * queue_s AS BIGINT)) AS prefill_started_at,
       started_at + to_microseconds(CAST(1e6 * ttft_s AS BIGINT)) AS first_token_at,
       ended_at, input_tokens, cached_input_tokens, output_tokens, error_type, energy_j, energy_se_j
FROM requests
WHERE energy_j IS NOT NULL AND started_at >= $start AND started_at < $end
ORDER BY started_at
