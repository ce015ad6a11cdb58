"""The response cache in the path of a call: looks up before the attempts, learns after a good answer."""

import logging
import time
from dataclasses import dataclass

from serving.caching._types import Question, ResponseCache, StoredAnswer
from serving.gateway import replay, whole
from serving.gateway.call import Call, Delivery
from serving.gateway.relay import Recording

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """One cache, asked once per call."""

    cache: ResponseCache

    async def answer(self, call: Call, delivery: Delivery) -> bool:
        """Answer from the cache if it can; notes on the call whether it was cacheable and what came of it."""
        assert call.ask is not None
        call.cache_key = self._key(call)
        if call.cache_key is None:
            return False
        kept = self.cache.find(call.cache_key, time.monotonic())
        call.cache_result = "miss" if kept is None else self.cache.kind
        if kept is None:
            return False
        call.tier = kept.tier
        await whole.deliver(kept.body, call, delivery)
        call.outcome = "answered"
        return True

    def learn(self, call: Call, recording: Recording) -> None:
        """Keep a finished, successful answer of a cacheable call."""
        if call.cache_key is None or not recording.parts or not call.observation.is_success:
            return
        try:
            body = replay.as_body(recording.parts, call.operation) if recording.streamed else recording.parts[0]
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            logger.info("the answer to %s is not kept, its chunks have an unknown shape: %r", call.request_id, error)
            return
        if replay.is_replayable(body, call.operation):
            self.cache.keep(call.cache_key, StoredAnswer(body, call.tier or ""), time.monotonic())

    def _key(self, call: Call) -> str | None:
        assert call.ask is not None
        if b"no-store" in call.headers.get(b"cache-control", b""):
            return None
        question = Question(call.tenant, call.operation, call.ask.parameters(), call.ask.is_deterministic)
        return self.cache.key(question)
