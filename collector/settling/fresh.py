"""The spans of traces with news, together with those of the same traces that were settled before.

Spans of one request overlap in time, so nothing of it can have been received before its earliest span began, clocks
aside: a trace is looked for from there on. Most began within ``NEAR_NS``, and only those few minutes are read for them;
the others, and those of a clock that is ahead, are looked for over all of the stated lateness. What an hour received
is 36 million rows at 10,000 spans a second, and reading their trace ids in every pass took longer than all the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.events import EVENT_COLUMNS, completed
from analytics.relations.settlement import SPAN_COLUMNS
from collector.settling.news import FRESH_ROWS, SECOND_NS, News
from store.writing import Store

NEAR_NS: Final = 120 * SECOND_NS
PART_ROWS: Final = 100_000  # some 60 MB
DELAY_NS: Final = 60 * SECOND_NS  # by which spans of one request may be received apart, and clocks differ unseen
AHEAD_NS: Final = SECOND_NS  # a span that ends so long after it was received is of a clock that is ahead

HEARD_ROWS: Final = (
    FRESH_ROWS.replace("$since", "$heard").replace("$back", "$heard_back").replace("$until", "$heard_until")
)
TIMELY: Final = "(received_ns - end_ns <= $lateness OR trace_id IN (SELECT unnest($unknown::VARCHAR[])))"
REACH: Final = f"""
    CASE WHEN end_ns > received_ns + {AHEAD_NS} THEN 0
         ELSE least(start_ns, received_ns - (end_ns - start_ns)) END"""
NEW: Final = f"""
    SELECT trace_id, min(reach) AS reach, min(received_ns) AS received_ns FROM (
        SELECT trace_id, {REACH} AS reach, received_ns FROM spans WHERE {FRESH_ROWS} AND {TIMELY}
        UNION ALL
        SELECT trace_id, least(time_ns, received_ns), received_ns FROM call_events
        WHERE {HEARD_ROWS} AND received_ns - time_ns <= $lateness)
    WHERE hash(trace_id) % $parts = $part GROUP BY trace_id"""
COUNT: Final = f"SELECT count(*) AS spans FROM spans WHERE {FRESH_ROWS}"
SPANS: Final = f"""
    SELECT {", ".join(SPAN_COLUMNS)}, {REACH} AS reach FROM spans
    WHERE received_ns > $low AND received_ns <= $top AND {TIMELY} AND trace_id IN (SELECT trace_id FROM traces)"""
EVENTS: Final = f"""
    SELECT {", ".join(EVENT_COLUMNS)} FROM call_events
    WHERE received_ns > $low AND received_ns <= $top AND trace_id IN (SELECT trace_id FROM traces)"""


@dataclass(frozen=True, slots=True)
class Lookback:
    """How far back a pass looks: rows received up to ``top_ns``, spans of ``unknown`` traces however late."""

    spans: News
    events: News
    lateness_ns: int
    unknown: list[str]

    @property
    def top_ns(self) -> int:
        """What was received later is left for the passes that settle it."""
        return max(one for news in (self.spans, self.events) for one in (news.until_ns, news.now_ns))

    @property
    def timely(self) -> dict[str, Any]:
        """The parameters of ``TIMELY``."""
        return {"lateness": self.lateness_ns, "unknown": self.unknown}


def fresh_spans(store: Store, lookback: Lookback) -> Iterator[pa.Table]:
    """All spans (``SPAN_COLUMNS``) of the traces with news, completed by what log records say of them.

    In parts of whole traces, each with about ``PART_ROWS`` new spans.
    """
    count = store.query(COUNT, lookback.spans.bounds)["spans"][0].as_py()
    parts = -(-count // PART_ROWS) or 1
    for part in range(parts):
        new = _new_traces(store, lookback, part, parts)
        if new.num_rows:
            yield _spans(store, lookback, new)


def _spans(store: Store, lookback: Lookback, new: pa.Table) -> pa.Table:
    received = pc.min(new["received_ns"]).as_py()
    begun, recent, oldest = received - DELAY_NS, received - NEAR_NS, received - lookback.lateness_ns
    within = pc.greater_equal(new["reach"], begun)
    near, far = new.filter(within), new.filter(pc.invert(within))
    spans = _read_spans(store, lookback, recent, near)
    further = pc.unique(spans.filter(pc.less(spans["reach"], begun))["trace_id"])
    if len(further):  # what was found began before what was read
        found = pc.is_in(near["trace_id"], value_set=further)
        near, far = near.filter(pc.invert(found)), pa.concat_tables([far, near.filter(found)])
        spans = spans.filter(pc.invert(pc.is_in(spans["trace_id"], value_set=further)))
    events = _read_events(store, lookback, recent, near)
    if far.num_rows:
        spans = pa.concat_tables([spans, _read_spans(store, lookback, oldest, far)])
        events = pa.concat_tables([events, _read_events(store, lookback, oldest, far)])
    return completed(spans.drop_columns("reach"), events)


def _new_traces(store: Store, lookback: Lookback, part: int, parts: int) -> pa.Table:
    """Traces with rows that were not settled, and the moment since which all of their request was received."""
    spans, events = lookback.spans, lookback.events
    heard = {"heard": events.since_ns, "heard_until": events.until_ns, "heard_back": events.back_ns}
    named = {**spans.bounds, **heard, "now": max(spans.now_ns, events.now_ns)}
    return store.query(NEW, {**named, **lookback.timely, "part": part, "parts": parts})


def _read_spans(store: Store, lookback: Lookback, low: int, traces: pa.Table) -> pa.Table:
    named = {"low": low, "top": lookback.top_ns, **lookback.timely}
    return store.query(SPANS, named, {"traces": traces.select(["trace_id"])})


def _read_events(store: Store, lookback: Lookback, low: int, traces: pa.Table) -> pa.Table:
    named = {"low": low, "top": lookback.top_ns}
    return store.query(EVENTS, named, {"traces": traces.select(["trace_id"])})
