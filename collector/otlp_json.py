"""OTLP/JSON to protobuf messages.

OTLP/JSON is protobuf's JSON mapping with one exception: trace and span ids are hex, where protobuf's parser expects
base64 (OTLP specification, "JSON Protobuf Encoding"). So the ids are rewritten before protobuf parses the rest.
An id that is not hex becomes an empty one: the decoder then refuses that span alone, not its whole batch.
"""

import base64
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

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


def parse(body: bytes, message: Message) -> None:
    """Fill ``message`` from an OTLP/JSON body; unknown fields are ignored, as the specification asks.

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
        json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedPayload(f"the body is not OTLP/JSON: {str(error)[:300]}") from None


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
