"""Stock vLLM's Prometheus page as the engine counters of ``conventions.instruments``.

Names read in vLLM 0.32. Series of several engine cores (label ``engine``) are summed; KV usage, a share, is averaged.
The page has no sum of context lengths and no decode positions of their own: those stay unknown. Speculation is on the
page only where the engine speculates.
"""

from collector.sampling.reading import Reading
from conventions import instruments

READINGS = (
    Reading(instruments.ENGINE_STEPS, "vllm:iteration_tokens_total_count"),
    Reading(
        instruments.ENGINE_PREFILL_TOKENS,
        "vllm:prompt_tokens_by_source_total",
        {"source": frozenset({"local_compute"})},
    ),
    Reading(instruments.ENGINE_PREFILL_TOKENS, "vllm:prompt_tokens_total"),
    Reading(instruments.ENGINE_GENERATED_TOKENS, "vllm:generation_tokens_total"),
    Reading(
        instruments.ENGINE_ABORTED,
        "vllm:request_success_total",
        {"finished_reason": frozenset({"abort", "error"})},
    ),
    Reading(instruments.ENGINE_RUNNING, "vllm:num_requests_running"),
    Reading(instruments.ENGINE_WAITING, "vllm:num_requests_waiting"),
    Reading(instruments.ENGINE_KV_USAGE, "vllm:kv_cache_usage_perc", mean=True),
    Reading(instruments.ENGINE_KV_USAGE, "vllm:gpu_cache_usage_perc", mean=True),
    Reading(instruments.ENGINE_PREFIX_QUERIES, "vllm:prefix_cache_queries_total"),
    Reading(instruments.ENGINE_PREFIX_HITS, "vllm:prefix_cache_hits_total"),
    Reading(instruments.ENGINE_PREEMPTIONS, "vllm:num_preemptions_total"),
    Reading(instruments.ENGINE_DRAFT_PROPOSED, "vllm:spec_decode_num_draft_tokens_total"),
    Reading(instruments.ENGINE_DRAFT_ACCEPTED, "vllm:spec_decode_num_accepted_tokens_total"),
)
