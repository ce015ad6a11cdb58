"""OTLP spans → rows of the relation ``spans``. A bad span is refused and counted; the others of its batch are kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from collector.decoding import columns, times
from collector.decoding.batch import Batch, Refusals
from collector.normalising import content, values
from collector.normalising.recognition import Recogniser
from collector.normalising.seen import SeenEvent, SeenSpan
from collector.normalising.values import Attributes, Renderer
from conventions import attributes as names
from conventions.units import seconds_from_nanoseconds

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")
ERROR = 2
MAX_EVENTS = 128
KNOWN_BYTES, MOST_KNOWN = 4_096, 1_024  # resources whose size is remembered
NO_TRACE, NO_SPAN = bytes(16), bytes(8)


@dataclass(frozen=True, slots=True)
class _Source:
    """What all spans of one resource and scope share."""

    resource: Attributes
    shared: columns.Row
    scope: str


class SpanDecoder:
    """Decodes ``ExportTraceServiceRequest`` messages. Safe to use from several threads."""

    def __init__(self, recogniser: Recogniser, *, capture_content: bool = False) -> None:
        self.recogniser = recogniser
        self._capture_content = capture_content
        self._sizes: dict[bytes, tuple[int, int]] = {}  # of what a resource's rows share, and what was cut of it

    def check(self, request: Any, received_ns: int, renderer: Renderer | None = None) -> Batch:
        """How many of the request's spans ``decode`` takes, and why not the others; no rows."""
        refusals, accepted, renderer = Refusals(), 0, renderer or Renderer()
        for resource_spans in request.resource_spans:
            shared = self._shared_size(resource_spans.resource, renderer)
            for scope_spans in resource_spans.scope_spans:
                repeated = shared + len(renderer.bounded(scope_spans.scope.name))
                for span in scope_spans.spans:
                    reason = _refusal(span, received_ns) or renderer.refusal(repeated)
                    if reason:
                        refusals.add(reason)
                    else:
                        accepted += 1
        return Batch({}, accepted, refusals)

    def _shared_size(self, resource: Any, renderer: Renderer) -> int:
        """Characters of what all rows of a resource share. Resources are few and come with every request."""
        encoded = resource.SerializeToString()
        known = self._sizes.get(encoded)
        if known is None:
            alone = Renderer()
            shared = shared_columns(values.attributes(resource.attributes), alone, 0)
            known = values.size(shared), alone.cut
            if len(encoded) <= KNOWN_BYTES:
                if len(self._sizes) >= MOST_KNOWN:
                    self._sizes.clear()
                self._sizes[encoded] = known
        renderer.cut += known[1]
        return known[0]

    def decode(
        self, request: Any, received_ns: int, renderer: Renderer | None = None, into: columns.Rows | None = None
    ) -> Batch:
        """The request's spans as one table, received at ``received_ns`` (UTC), or in ``into``."""
        refusals, renderer = Refusals(), renderer or Renderer()
        own = columns.Rows()
        rows = (into or own).of("spans")
        before = rows.count
        for resource_spans in request.resource_spans:
            resource = values.attributes(resource_spans.resource.attributes)
            shared = shared_columns(resource, renderer, received_ns)
            for scope_spans in resource_spans.scope_spans:
                source = _Source(resource, shared, renderer.bounded(scope_spans.scope.name))
                repeated = values.size(shared) + len(source.scope)
                for span in scope_spans.spans:
                    reason = _refusal(span, received_ns) or renderer.refusal(repeated)
                    if reason:
                        refusals.add(reason)
                    else:
                        rows.add(self._row(span, source, renderer))
        return Batch(own.tables(), rows.count - before, refusals, renderer.cut)

    def kept(self, attributes: Attributes) -> Attributes:
        """Those that are stored: what users and models said only if it is asked for."""
        return attributes if self._capture_content else content.without(attributes)

    def _row(self, span: Any, source: _Source, renderer: Renderer) -> columns.Row:
        seen = seen_span(span, source.resource, source.scope)
        row = self.recogniser.fields(seen)
        row.update(source.shared)
        row["trace_id"] = span.trace_id.hex()
        row["span_id"] = span.span_id.hex()
        row["parent_span_id"] = span.parent_span_id.hex() or None
        row["name"] = renderer.bounded(seen.name)
        row["kind"] = seen.kind
        row["start_ns"] = span.start_time_unix_nano
        row["end_ns"] = span.end_time_unix_nano
        row["status"] = status_of(span)
        row["status_message"] = renderer.bounded(span.status.message) or None
        row["scope"] = source.scope or None
        row["attributes"] = renderer.texts(self.kept(seen.attributes))
        row["events"] = self._events(span, renderer) if span.events else None
        return row

    def _events(self, span: Any, renderer: Renderer) -> str:
        renderer.cut += max(0, len(span.events) - MAX_EVENTS)
        kept = []
        for event in span.events[:MAX_EVENTS]:
            attributes = self.kept(values.attributes(event.attributes))
            kept.append({"time_ns": event.time_unix_nano, "name": event.name, "attributes": renderer.texts(attributes)})
        return json.dumps(kept, ensure_ascii=False)


def shared_columns(resource: Attributes, renderer: Renderer, received_ns: int) -> columns.Row:
    """The columns that all rows of one resource share."""
    return {
        "received_ns": received_ns,
        "service": renderer.bounded(values.text(resource.get(names.SERVICE_NAME))) or None,
        "instance": renderer.bounded(values.text(resource.get(names.SERVICE_INSTANCE))) or None,
        "resource": renderer.texts(resource),
    }


def seen_span(span: Any, resource: Attributes, scope: str) -> SeenSpan:
    """``span`` as the dialects see it."""
    kind = span.kind
    return SeenSpan(
        name=span.name,
        kind=KINDS[kind] if 0 <= kind < len(KINDS) else KINDS[0],
        scope=scope,
        attributes=values.attributes(span.attributes),
        resource=resource,
        duration_s=seconds_from_nanoseconds(span.end_time_unix_nano - span.start_time_unix_nano),
        failed=span.status.code == ERROR,
        events=partial(_seen_events, span) if span.events else _no_events,
    )


def status_of(span: Any) -> str:
    """The status in words; ``UNSET`` for a code that is none."""
    code = span.status.code
    return STATUSES[code] if 0 <= code < len(STATUSES) else STATUSES[0]


def _no_events() -> Sequence[SeenEvent]:
    return ()


def _seen_events(span: Any) -> Sequence[SeenEvent]:
    return [_seen_event(event, span.start_time_unix_nano) for event in span.events]


def _seen_event(event: Any, start_ns: int) -> SeenEvent:
    since_start_s = seconds_from_nanoseconds(event.time_unix_nano - start_ns)
    return SeenEvent(event.name, since_start_s, values.attributes(event.attributes))


def _refusal(span: Any, now_ns: int) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == NO_TRACE:
        return "trace_id must be 16 bytes (32 hex digits in JSON) and not all zero"
    if len(span_id) != 8 or span_id == NO_SPAN:
        return "span_id must be 8 bytes (16 hex digits in JSON) and not all zero"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id must be empty or 8 bytes (16 hex digits in JSON)"
    return times.interval_refusal(span.start_time_unix_nano, span.end_time_unix_nano, now_ns)
