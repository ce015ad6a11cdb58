-- To the first token, by who saw it; client and gateway see one in streamed requests only.
SELECT *, first_token_origin AS origin, ttft_s AS value FROM {rows}
WHERE ttft_s IS NOT NULL AND (first_token_origin = 'engine' OR streamed IS NOT FALSE)
