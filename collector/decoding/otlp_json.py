"""OTLP/JSON to protobuf messages.

OTLP/JSON is protobuf's JSON mapping with one exception: trace and span ids are hex, where protobuf's parser expects
base64 (OTLP specification, "JSON Protobuf Encoding"). So the ids are rewritten before protobuf parses the rest.
An id that is not hex becomes an empty one, and an item that does not parse is left out: each is refused alone, not its
whole batch.
"""

import base64
import json
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from collector.decoding.batch import Refusals
from conventions.errors import MalformedPayload, PayloadTooLarge

HEX_IDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
# where ids can stand; attribute values are not walked, they may hold keys of any name
BRANCHES = frozenset(
    {
        *("resourceSpans", "scopeSpans", "spans", "links", "resource_spans", "scope_spans"),
        *("resourceMetrics", "scopeMetrics", "metrics", "resource_metrics", "scope_metrics"),
        *("gauge", "sum", "histogram", "exponentialHistogram", "exponential_histogram"),
        *("dataPoints", "data_points", "exemplars"),
        *("resourceLogs", "scopeLogs", "logRecords", "resource_logs", "scope_logs", "log_records"),
    }
)


MAX_BYTES = 16_000_000
"""Python's objects take up to 45 bytes for one byte of JSON (measured), ten as a rule."""
MAX_CONTAINERS = 500_000


PARSE_ERRORS = (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError)
CHILDREN = 2  # field number of scopes in a resource and of items in a scope


def parse(body: bytes, message: Message) -> Refusals:
    """Fill ``message`` with what is valid of an OTLP/JSON body; gives what was left out.

    Unknown fields are ignored, as the specification asks.

    Raises ``MalformedPayload`` or ``PayloadTooLarge``.
    """
    if len(body) > MAX_BYTES or body.count(b"{") + body.count(b"[") > MAX_CONTAINERS:
        raise PayloadTooLarge(
            f"a JSON body may have {MAX_BYTES} bytes and {MAX_CONTAINERS} objects and arrays: send smaller batches, "
            "or protobuf, which may be larger"
        )
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise MalformedPayload('an OTLP/JSON body is one object such as {"resourceSpans": [...]}')
        _rewrite_ids(document)
        try:
            json_format.ParseDict(document, message, ignore_unknown_fields=True)
        except json_format.ParseError:
            message.Clear()
            refusals = _without_invalid_items(document, message)
            json_format.ParseDict(document, message, ignore_unknown_fields=True)
            return refusals
    except PARSE_ERRORS as error:
        raise MalformedPayload(f"the body is not OTLP/JSON: {str(error)[:300]}") from None
    return Refusals()


def _without_invalid_items(document: dict[str, Any], message: Message) -> Refusals:
    """Take out of ``document`` every span, metric or log record that does not parse by itself."""
    refusals = Refusals()
    resource = message.DESCRIPTOR.fields[0]
    scope = resource.message_type.fields_by_number[CHILDREN]
    item = scope.message_type.fields_by_number[CHILDREN]
    kind = message_factory.GetMessageClass(item.message_type)
    for one in _children(document, resource):
        for another in _children(one, scope):
            items = _children(another, item)
            items[:] = [each for each in items if _is_valid(each, kind(), item.message_type.name.lower(), refusals)]
    return refusals


def _children(node: dict[str, Any], field: Any) -> list[Any]:
    """The list under the name of ``field`` in either spelling."""
    children: list[Any] = node.get(field.json_name) or node.get(field.name) or []
    return children


def _is_valid(item: Any, message: Message, noun: str, refusals: Refusals) -> bool:
    try:
        json_format.ParseDict(item, message, ignore_unknown_fields=True)
    except PARSE_ERRORS as error:
        refusals.add(f"{noun} is not OTLP/JSON: {str(error)[:200]}")
        return False
    return True


def _rewrite_ids(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _rewrite_ids(item)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key in HEX_IDS:
                node[key] = _base64_of_hex(item)
            elif key in BRANCHES:
                _rewrite_ids(item)


def _base64_of_hex(item: Any) -> str:
    try:
        return base64.b64encode(bytes.fromhex(item)).decode("ascii")
    except (ValueError, TypeError):
        return ""
