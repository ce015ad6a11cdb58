"""Recency and reuse: each time a block was read again lets it outlive one more turnover of the cache.

Prompts seen once are most of what passes through a prefix cache, and a tenth of the blocks is most of what is read
again (Alibaba's traces, arXiv 2506.02634): plain recency lets a burst of the former wash out the latter.
"""

from serving.engine.prefix import Use

MOST_TURNOVERS = 4
"""A prefix that was popular once leaves after this many turnovers without a reader."""


class Policy:
    """Last use, moved ahead by what the block has earned."""

    def rank(self, use: Use) -> float:
        """The time at which the block may go, counted in uses of the cache."""
        return use.last_used + min(use.num_reuses, MOST_TURNOVERS) * use.turnover
