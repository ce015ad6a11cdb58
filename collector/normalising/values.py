"""OTLP attribute values as plain Python values, and those as bounded strings for the store's maps."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

Value = Any  # str | bool | int | float | bytes | list[Value] | dict[str, Value] | None
Attributes = dict[str, Value]

MAX_TEXT = 8_192  # characters of one attribute value
MAX_ATTRIBUTES = 1_024  # per span, data point or resource
MAX_REPEATED = 64_000_000
"""Characters of resources and scopes that the rows of one request may repeat: every row has those of its own."""
TOO_MUCH_REPEATED = (
    f"its resource and scope, stored with every row, come to over {MAX_REPEATED} characters in this request: "
    "send smaller batches, or less in the resource"
)
SCALARS = frozenset({"string_value", "bool_value", "int_value", "double_value", "bytes_value"})


def attributes(pairs: Iterable[Any]) -> Attributes:
    """``KeyValue`` messages as a dictionary; of a repeated key the last one stays."""
    found: Attributes = {}
    for pair in pairs:
        message = pair.value  # at most one of its fields is set, the others read as empty: asking which is dearer
        found[pair.key] = message.string_value or message.int_value or message.double_value or value(message)
    return found


def value(message: Any) -> Value:
    """One ``AnyValue``; an empty one is ``None``."""
    kind = message.WhichOneof("value")
    if kind in SCALARS:
        return getattr(message, kind)
    if kind == "array_value":
        return [value(item) for item in message.array_value.values]
    if kind == "kvlist_value":
        return attributes(message.kvlist_value.values)
    return None


def text(item: Value) -> str:
    """A value as the store keeps it: booleans lower case, arrays and maps as JSON, bytes as base64."""
    return TEXTS.get(type(item), _json)(item)


def _json(item: Value) -> str:
    return json.dumps(item, ensure_ascii=False, default=_base64)


def _base64(item: bytes) -> str:
    return base64.b64encode(item).decode("ascii")


TEXTS: dict[type, Callable[[Any], str]] = {
    str: lambda item: item,
    bool: lambda item: "true" if item else "false",
    int: str,
    float: str,
    bytes: _base64,
    type(None): lambda _item: "",
}


def size(row: dict[str, Any]) -> int:
    """Characters of the texts and maps of texts in ``row``."""
    texts = sum(len(item) for item in row.values() if isinstance(item, str))
    maps = (item for item in row.values() if isinstance(item, dict))
    return texts + sum(len(key) + len(item) for one in maps for key, item in one.items())


class Renderer:
    """Renders the attribute maps of one request within bounds and counts what it cut."""

    def __init__(self) -> None:
        self.cut = 0
        self.repeated = 0  # characters, so far

    def refusal(self, repeated: int) -> str | None:
        """Why no further row may repeat so many characters, or ``None``: they are then counted."""
        self.repeated += repeated
        return TOO_MUCH_REPEATED if self.repeated > MAX_REPEATED else None

    def texts(self, items: Attributes) -> dict[str, str]:
        """Every value as bounded text; attributes over the number kept are left out and counted."""
        if len(items) > MAX_ATTRIBUTES:
            self.cut += len(items) - MAX_ATTRIBUTES
            items = dict(list(items.items())[:MAX_ATTRIBUTES])
        rendered = {
            key: item if type(item) is str else TEXTS.get(type(item), _json)(item) for key, item in items.items()
        }
        if len("".join(rendered)) <= MAX_TEXT and len("".join(rendered.values())) <= MAX_TEXT:
            return rendered  # none can be too long; measuring each costs as much as rendering it
        return {self.bounded(key): self.bounded(item) for key, item in rendered.items()}

    def bounded(self, rendered: str) -> str:
        """``rendered`` cut to ``MAX_TEXT`` characters, and counted if it was longer."""
        if len(rendered) <= MAX_TEXT:
            return rendered
        self.cut += 1
        return rendered[:MAX_TEXT]
