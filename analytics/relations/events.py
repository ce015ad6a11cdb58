"""What log records say about spans (relation ``call_events``), where the spans themselves do not say it.

The span wins. An error in a log record counts for a span that failed without naming its error; the conventions' events
that end a call (``ENDING``) also for one that has neither status nor finish reason. Any other exception that was
logged during a call was dealt with: the call went on to its end.
"""

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.outcomes import UNNAMED_ERROR
from conventions import attributes as names

EVENT_COLUMNS: Final = (
    *("trace_id", "span_id", "time_ns", "name", "error_type", "finish_reason", "streamed", "ttft_s", "is_first_token"),
)
ENDING: Final = (names.EXCEPTION_EVENT, names.DETAILS_EVENT)


def completed(spans: pa.Table, events: pa.Table) -> pa.Table:
    """``spans`` with what ``events`` (``EVENT_COLUMNS``) add. Of several the earliest counts, of errors the last."""
    if not events.num_rows or not spans.num_rows:
        return spans
    told = _Told(spans, events.sort_by("time_ns").combine_chunks())
    finish = pc.coalesce(spans["finish_reason"], told.first("finish_reason"))
    added = {
        "finish_reason": finish,
        "streamed": pc.coalesce(spans["streamed"], told.first("streamed")),
        "ttft_s": pc.coalesce(spans["ttft_s"], told.first("ttft_s"), _first_token_s(spans, told)),
        "error_type": _errors(spans, finish, told),
    }
    for name, column in added.items():
        spans = spans.set_column(spans.column_names.index(name), name, column)
    return spans


class _Told:
    """The events of each span, in order of time."""

    def __init__(self, spans: pa.Table, events: pa.Table) -> None:
        self._events = events
        self._keys = _keys(events)
        self._wanted = _keys(spans)

    def first(self, column: str, only: Any = None, *, last: bool = False) -> pa.Array:
        """Per span the first (or last) value of ``column`` among its events, ``only`` where the mask is true."""
        values = self._events[column].combine_chunks()
        mask = pc.is_valid(values) if only is None else pc.and_(pc.is_valid(values), only)
        values, keys = values.filter(mask), self._keys.filter(mask)
        if last:
            backwards = pa.array(range(len(values) - 1, -1, -1), pa.int64())
            values, keys = values.take(backwards), keys.take(backwards)
        return values.take(pc.index_in(self._wanted, value_set=keys))

    def where(self, column: str, choices: tuple[str, ...]) -> Any:
        """The mask of events whose ``column`` is one of ``choices``."""
        return pc.is_in(self._events[column].combine_chunks(), value_set=pa.array(choices))

    @property
    def first_tokens(self) -> Any:
        """The mask of events that are a first token."""
        return self._events["is_first_token"].combine_chunks()


def _first_token_s(spans: pa.Table, told: _Told) -> pa.Array:
    """Seconds from the start of the span to the event; not where the clocks of the two disagree about the order."""
    since = pc.subtract(told.first("time_ns", told.first_tokens), spans["start_ns"])
    inside = pc.and_(pc.greater_equal(since, 0), pc.less_equal(since, pc.subtract(spans["end_ns"], spans["start_ns"])))
    seconds = pc.divide(pc.cast(since, pa.float64()), 1e9)
    return pc.if_else(pc.fill_null(inside, False), seconds, pa.scalar(None, pa.float64()))


def _errors(spans: pa.Table, finish: Any, told: _Told) -> Any:
    own = spans["error_type"]
    failed = pc.equal(spans["status"], "ERROR")
    unnamed = pc.fill_null(pc.equal(own, UNNAMED_ERROR), True)
    named = pc.coalesce(told.first("error_type", last=True), own)
    ended = told.first("error_type", told.where("name", ENDING), last=True)
    ended = pc.if_else(pc.is_valid(finish), pa.scalar(None, pa.string()), ended)
    return pc.if_else(pc.and_(failed, unnamed), named, pc.coalesce(own, ended))


def _keys(rows: pa.Table) -> Any:
    return pc.binary_join_element_wise(rows["trace_id"], rows["span_id"], ":").combine_chunks()
