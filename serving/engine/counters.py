"""Plain running totals that the loop fills; exporters (``metrics``, ``instruments``) only read them.

Definitions, the same as the ledger's (a *step* is one forward pass, which may carry prefill and decode together):

* ``steps``: forward passes that computed at least one position.
* ``running_steps``: Σ over steps of the requests that computed something in it.
* ``prefill_tokens``: prompt positions computed; positions taken from a cache are not in it.
* ``prefill_context``: Σ over these positions of the positions before them: 0 + 1 + … + (n − 1) for a whole prompt.
* ``decode_tokens``: positions computed in decode: output tokens − 1 − accepted + proposed drafts − skipped per finished
  request, as the first output token comes from prefill and the last one is never fed back. A draft model's are not in
  it. A position that left early counts the share of the layers that it went through.
* ``decode_context``: Σ over these positions, so weighted, of the positions before them: prompt + 0, prompt + 1, …
* ``early_exit_tokens``: output tokens said by an exit head; ``early_exit_skipped``: decoded positions' worth of layers
  that were skipped, those of rejected drafts included.
* ``generated_tokens``: output tokens, the first of each request and end tokens included.
* ``prefix_cache_queries``: prompt tokens of admitted requests while prefixes are cached; ``prefix_cache_hits``: those
  found. ``Σ prompt + semantic_check_tokens = prefill_tokens + prefix_cache_hits + semantic_reuse_tokens`` over requests
  whose prompt was finished.
* ``semantic_reuse_tokens``: prompt positions whose states came from another place of an earlier prompt.
  ``semantic_checks``: prompts computed with borrowed states and again without; ``semantic_disagreements``: those whose
  likeliest next token differed; ``semantic_check_tokens``: positions computed for the first of both times, in no
  request's claim. ``semantic_trusted``: 1 while states may be reused; ``semantic_divergence``: mean KL of the checks.
* ``draft_proposed``: drafted positions computed; ``draft_accepted``: output tokens that a step gave beyond its first.
* ``draft_length``: tokens drafted for each request at most, now; 0 where it does not pay. ``draft_gain``: estimated
  tokens per second over those without drafts, at the present size of batch.
* ``preemptions``: requests put back into the queue. What they compute again is in ``prefill_tokens`` and in no
  request's claim, so the ledger shows it as unattributed; with cached prefixes it is little.
* ``aborted``: requests cancelled or failed after they were accepted; ``refused``: not accepted.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from conventions.instruments import DURATION_BUCKETS_S, TTFT_BUCKETS_S


class Histogram:
    """Counts per bucket, Prometheus style: a value belongs to the first bound that is not below it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counters:
    """Totals since the process began, and some levels of now. Written by the engine thread alone."""

    steps: int = 0
    running_steps: int = 0
    prefill_tokens: int = 0
    prefill_context: int = 0
    decode_tokens: float = 0
    decode_context: float = 0
    generated_tokens: int = 0
    prefix_cache_queries: int = 0
    prefix_cache_hits: int = 0
    draft_proposed: int = 0
    draft_accepted: int = 0
    semantic_reuse_tokens: int = 0
    semantic_checks: int = 0
    semantic_disagreements: int = 0
    semantic_check_tokens: int = 0
    early_exit_tokens: int = 0
    early_exit_skipped: float = 0
    preemptions: int = 0
    answered: int = 0
    aborted: int = 0
    refused: int = 0
    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0
    draft_length: int = 0
    draft_gain: float = 1.0
    semantic_trusted: int = 0
    semantic_divergence: float = 0.0
    ttft_s: Histogram = field(default_factory=lambda: Histogram(TTFT_BUCKETS_S))
    e2e_s: Histogram = field(default_factory=lambda: Histogram(DURATION_BUCKETS_S))

    def count_prefill(self, start: int, count: int) -> None:
        """``count`` prompt positions from ``start`` on were computed."""
        self.prefill_tokens += count
        self.prefill_context += _sum_from(start, count)

    def count_decode(self, start: int, count: int, skipped: Sequence[float] = ()) -> None:
        """``count`` positions from ``start`` on were decoded; each ``skipped`` such a share of the layers."""
        self.decode_tokens += count
        self.decode_context += _sum_from(start, count)
        if any(skipped):
            self.early_exit_skipped += sum(skipped)
            self.decode_tokens -= sum(skipped)
            self.decode_context -= sum(share * (start + offset) for offset, share in enumerate(skipped))

    def count_check(self, differs: bool) -> None:
        """A prompt was computed with borrowed states and without."""
        self.semantic_checks += 1
        self.semantic_disagreements += differs

    def count_said(self, num_tokens: int, num_drafts: int) -> None:
        """A request said ``num_tokens`` in a step that computed ``num_drafts`` proposals for it."""
        self.generated_tokens += num_tokens
        self.draft_proposed += num_drafts
        self.draft_accepted += num_tokens - 1


def _sum_from(start: int, count: int) -> int:
    """start + (start + 1) + … with ``count`` terms."""
    return count * (2 * start + count - 1) // 2
