"""A step as numbers: what it computed goes into the counters, what it said into nobody's but the requests'."""

from serving.engine.counters import Counters
from serving.engine.sampling import Said
from serving.engine.sequence import Sequence
from serving.engine.task import Task


def count_step(counters: Counters, work: list[Task], said: list[Said]) -> None:
    """A step computed ``work``, of which those that sample ``said`` something, in order."""
    answers = iter(said)
    counters.steps += 1
    counters.running_steps += len(work)
    for task in work:
        skipped = next(answers).skipped if task.samples else ()
        for span in task.spans:
            if span.decodes:
                counters.count_decode(span.start, len(span.tokens), skipped)
            else:
                counters.count_prefill(span.start, len(span.tokens))
        if task.sequence.is_on_trial:
            counters.semantic_check_tokens += task.num_tokens
        task.sequence.advance(task.spans[-1].end, len(work))


def count_admission(counters: Counters, sequence: Sequence) -> None:
    """What the caches held for a request that comes for the first time."""
    counters.prefix_cache_queries += sequence.request.num_prompt_tokens
    counters.prefix_cache_hits += sequence.num_cached - sequence.num_reused
    counters.semantic_reuse_tokens += sequence.num_reused
