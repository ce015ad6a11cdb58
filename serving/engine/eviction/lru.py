"""Least recently used: whatever has waited longest for its next reader goes first."""

from serving.engine.prefix import Use


class Policy:
    """Recency alone."""

    def rank(self, use: Use) -> float:
        """The time of the last use."""
        return use.last_used
