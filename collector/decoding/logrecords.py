"""OTLP log records → rows of the relation ``call_events``: those that belong to a span and say something about a call.

Every other log record is counted and passed over; tokenjoule is no store of logs. Bodies are not stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from collector.decoding import columns, times
from collector.decoding.batch import Batch, Refusals
from collector.decoding.spans import shared_columns
from collector.normalising import content, events, values
from collector.normalising.values import Renderer
from conventions import attributes as names


@dataclass(frozen=True, slots=True)
class _Source:
    """What all records of one resource and scope share."""

    shared: columns.Row
    scope: str
    repeated: int  # characters that each of its rows repeats


class LogDecoder:
    """Decodes ``ExportLogsServiceRequest`` messages. Safe to use from several threads."""

    def __init__(self, *, capture_content: bool = False) -> None:
        self._capture_content = capture_content

    def decode(
        self, request: Any, received_ns: int, renderer: Renderer | None = None, into: columns.Rows | None = None
    ) -> Batch:
        """What the request says about calls as one table, received at ``received_ns`` (UTC), or in ``into``."""
        refusals, renderer = Refusals(), renderer or Renderer()
        own, passed_over = columns.Rows(), 0
        rows = (into or own).of("call_events")
        before = rows.count
        for record, source in _records(request, renderer, received_ns):
            row = self._row(record, source, renderer) if record.trace_id and record.span_id else None
            reason = row and (_refusal(record, row, received_ns) or renderer.refusal(source.repeated))
            if row is None:
                passed_over += 1
            elif reason:
                refusals.add(reason)
            else:
                rows.add(row)
        return Batch(own.tables(), rows.count - before, refusals, renderer.cut, passed_over)

    def _row(self, record: Any, source: _Source, renderer: Renderer) -> columns.Row | None:
        attributes = values.attributes(record.attributes)
        name = record.event_name or values.text(attributes.pop(names.EVENT_NAME, None))
        body = values.value(record.body) if name == names.CHOICE_EVENT else None
        row = events.told(name, attributes, body)
        if not row:
            return None
        row.setdefault("is_first_token", False)
        row.update(source.shared)
        row["trace_id"] = record.trace_id.hex()
        row["span_id"] = record.span_id.hex()
        row["time_ns"] = record.time_unix_nano or record.observed_time_unix_nano
        row["name"] = renderer.bounded(name) or None
        row["severity"] = record.severity_number or None
        row["scope"] = source.scope or None
        row["attributes"] = renderer.texts(attributes if self._capture_content else content.without(attributes))
        return row


def _records(request: Any, renderer: Renderer, received_ns: int) -> Iterator[tuple[Any, _Source]]:
    for resource_logs in request.resource_logs:
        shared = shared_columns(values.attributes(resource_logs.resource.attributes), renderer, received_ns)
        for scope_logs in resource_logs.scope_logs:
            scope = renderer.bounded(scope_logs.scope.name)
            source = _Source(shared, scope, values.size(shared) + len(scope))
            for record in scope_logs.log_records:
                yield record, source


def _refusal(record: Any, row: columns.Row, now_ns: int) -> str | None:
    if len(record.trace_id) != 16 or not any(record.trace_id):
        return "trace_id must be 16 bytes (32 hex digits in JSON) and not all zero"
    if len(record.span_id) != 8 or not any(record.span_id):
        return "span_id must be 8 bytes (16 hex digits in JSON) and not all zero"
    return times.instant_refusal(row["time_ns"], now_ns)
