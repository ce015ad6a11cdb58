"""Attribute values as the types of the store's columns. What is absurd is not known (``None``), never a number.

Emitters send booleans and counts as strings, finish reasons as arrays or as JSON text (vLLM).
"""

import json
import math
from typing import Any

MAX_COUNT = 1_000_000_000  # tokens of one call; no context is near it
MAX_NAME = 1_024  # characters; nothing that names a thing is longer
MAX_SECONDS = 7 * 86_400.0
MAX_ATTEMPT = 1_000_000
TRUE_WORDS = frozenset({"true", "1", "yes"})
FALSE_WORDS = frozenset({"false", "0", "no"})
# finish reasons of other vendors in the words of the OpenAI API, which success is defined by (ARCHITECTURE)
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}


def name(value: Any) -> str | None:
    """Non-empty text of at most ``MAX_NAME`` characters."""
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_NAME else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def folded(value: Any) -> str | None:
    """Non-empty text in lower case (providers arrive as ``vLLM``, ``OpenAI``)."""
    return value.lower() if isinstance(value, str) and 0 < len(value) <= MAX_NAME else None


def flag(value: Any) -> bool | None:
    """A boolean, or the words for one."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


def count(value: Any) -> int | None:
    """A whole number from 0 to ``MAX_COUNT``."""
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    number = _number(value)
    return int(number) if number is not None and 0 <= number <= MAX_COUNT and number == int(number) else None


def ordinal(value: Any) -> int | None:
    """A whole number from 1 to ``MAX_ATTEMPT``."""
    number = count(value)
    return number if number is not None and 1 <= number <= MAX_ATTEMPT else None


def seconds(value: Any) -> float | None:
    """Finite seconds from 0 to ``MAX_SECONDS``."""
    if type(value) is float and 0.0 <= value <= MAX_SECONDS:
        return value
    number = _number(value)
    return number if number is not None and 0.0 <= number <= MAX_SECONDS else None


def real(value: Any) -> float | None:
    """Any finite number."""
    return _number(value)


def gaps(value: Any) -> list[float] | None:
    """An array of seconds; one bad item makes the whole not known."""
    items = _array(value)
    if not items:
        return None
    read = [seconds(item) for item in items]
    return None if None in read else [item for item in read if item is not None]


def reason(value: Any) -> str | None:
    """The first finish reason of an array, of its JSON text, or of plain text, in OpenAI's words."""
    items = _array(value) or [value]
    first = items[0]
    if not isinstance(first, str) or not 0 < len(first) <= MAX_NAME:
        return None
    word = first.lower()
    return REASONS.get(word, word)


def _array(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.startswith("["):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return []
        return parsed if isinstance(parsed, list) else []
    return []


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
