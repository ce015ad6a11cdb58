"""Caches nothing: no request counts as cacheable."""

from serving.caching._types import Question, StoredAnswer


class Cache:
    """The absent cache. It takes what every cache takes and needs none of it."""

    kind = "none"

    def __init__(self, max_entries: int, ttl_s: float) -> None:
        del max_entries, ttl_s

    def key(self, question: Question) -> str | None:
        """Nothing is cacheable."""
        del question
        return None

    def find(self, key: str, now_s: float) -> StoredAnswer | None:
        """Nothing is kept."""
        del key, now_s
        return None

    def keep(self, key: str, answer: StoredAnswer, now_s: float) -> None:
        """Drop the answer."""
