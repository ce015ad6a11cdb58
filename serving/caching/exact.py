"""Answers a question again only when it is the same one, to the letter, from the same tenant.

The key is SHA-256 over tenant, endpoint and the canonical JSON of everything in the body that can change the answer.
Least recently used answers go first; none is older than the time to live.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from serving.caching._types import MAX_ANSWER_BYTES, Question, StoredAnswer

IGNORED: Final = frozenset({"stream", "stream_options", "user", "priority", "metadata", "request_id"})
"""Fields that say how or for whom to answer, not what."""

_ENCODER = msgspec.json.Encoder(order="sorted")


class Cache:
    """A bounded map from question to answer. Not safe for threads; the gateway has one event loop."""

    kind = "exact"

    def __init__(self, max_entries: int, ttl_s: float) -> None:
        self._max_entries, self._ttl_s = max_entries, ttl_s
        self._entries: OrderedDict[str, tuple[float, StoredAnswer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, question: Question) -> str | None:
        """The digest of the question; None when its answer may differ from one time to the next."""
        if not question.deterministic:
            return None
        deciding = {name: value for name, value in question.parameters.items() if name not in IGNORED}
        text = _ENCODER.encode([question.tenant, question.operation, deciding])
        return hashlib.sha256(text).hexdigest()

    def find(self, key: str, now_s: float) -> StoredAnswer | None:
        """The answer, unless it has outlived its time."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        kept_s, answer = entry
        if now_s - kept_s > self._ttl_s:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def keep(self, key: str, answer: StoredAnswer, now_s: float) -> None:
        """Keep the answer if it is not too large, and drop the least recently used one if there are too many."""
        if len(answer.body) > MAX_ANSWER_BYTES:
            return
        self._entries[key] = (now_s, answer)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
