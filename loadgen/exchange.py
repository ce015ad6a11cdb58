"""One request as the client saw it: stamps of one monotonic clock, and the times that follow from them.

All ``*_ns`` are ``time.perf_counter_ns``; only ``sent_unix_ns`` is wall clock, for the span.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from conventions.units import seconds_from_nanoseconds
from loadgen.plan import PlannedRequest

GOOD_FINISH: Final = frozenset({"stop", "length", "tool_calls"})


@dataclass(slots=True)
class Exchange:
    """Filled by the client while the request runs; read by telemetry and summary after its end."""

    request: PlannedRequest
    scheduled_ns: int
    sent_ns: int
    sent_unix_ns: int
    end_ns: int = 0
    first_byte_ns: int | None = None
    content_ns: list[int] = field(default_factory=list)  # arrival of every chunk with content
    complete: bool = False  # the stream ended with [DONE], or the whole body arrived
    status: int | None = None
    error: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    response_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    text: str = ""

    @property
    def ok(self) -> bool:
        """HTTP 200, a good finish reason, the answer complete and no error: what the store counts as success."""
        return self.error is None and self.complete and self.status == 200 and self.finish_reason in GOOD_FINISH

    @property
    def lag_s(self) -> float:
        """Sent after its time in the schedule by this much: the client's own fault."""
        return seconds_from_nanoseconds(self.sent_ns - self.scheduled_ns)

    @property
    def first_byte_s(self) -> float | None:
        """Sent to response headers."""
        return self._since_sent(self.first_byte_ns)

    @property
    def ttft_s(self) -> float | None:
        """Sent to the first non-empty content; the role chunk before it does not count."""
        return self._since_sent(self.content_ns[0]) if self.content_ns else None

    @property
    def e2e_s(self) -> float:
        """Sent to the end of the answer."""
        return seconds_from_nanoseconds(self.end_ns - self.sent_ns)

    @property
    def itl_s(self) -> list[float]:
        """Gaps between chunks with content; a chunk may carry several tokens."""
        return [seconds_from_nanoseconds(after - before) for before, after in pairwise(self.content_ns)]

    @property
    def tpot_s(self) -> float | None:
        """First content to the end, per output token after the first (vLLM's and the store's definition).

        The end and not the last chunk, because tokens without text send none (a replay that ignores the end token
        has many). When the first chunk carries several tokens this is low: by 6 % for 12 chunks of four.
        """
        if not self.content_ns or self.output_tokens is None or self.output_tokens < 2:
            return None
        return seconds_from_nanoseconds(self.end_ns - self.content_ns[0]) / (self.output_tokens - 1)

    @property
    def score(self) -> float | None:
        """1.0 when the answer is exactly the expected one (outer white space aside), else 0.0; None = not known."""
        if self.request.expected is None or not self.ok:
            return None
        return float(self.text.strip() == self.request.expected.strip())

    def _since_sent(self, stamp_ns: int | None) -> float | None:
        return None if stamp_ns is None else seconds_from_nanoseconds(stamp_ns - self.sent_ns)
