"""Scalar functions that make much out of little: one call of theirs is neither interrupted nor counted by DuckDB.

Measured with DuckDB 1.5 and ``memory_limit`` 512 MB: ``repeat('x', 2000000000)`` took 4.5 GB and went on for 44 s after
the time limit. So their sizes must be numbers that stand in the statement, and multiplied they stay small.
It does not know what ``replace`` makes of long texts.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from conventions.errors import QueryRefused

SIZES: Final[dict[str, slice]] = {
    "repeat": slice(1, 2),
    "lpad": slice(1, 2),
    "rpad": slice(1, 2),
    "list_resize": slice(1, 2),
    "array_resize": slice(1, 2),
    "range": slice(0, 3),
    "generate_series": slice(0, 3),
    "bar": slice(3, 4),
}
"""Which arguments say how much is made."""
FORMATTING: Final = frozenset({"printf", "format"})
LARGEST: Final = 10_000
"""Of all sizes of a statement multiplied: a vector of 2,048 such texts is 20 MB."""

_WIDE: Final = re.compile(r"\d{4,}|\*|\{[^}]*\{")


def check(nodes: Iterable[dict[str, Any]]) -> None:
    """Raises ``QueryRefused`` when the scalar calls among ``nodes`` of a parse tree could make too much."""
    tree = list(nodes)
    streamed = {id(node["function"]) for node in tree if node.get("type") == "TABLE_FUNCTION"}
    product = 1
    for node in tree:
        if node.get("class") == "FUNCTION" and id(node) not in streamed:
            product *= _made(str(node.get("function_name", "")).lower(), _arguments(node))
    if product > LARGEST:
        raise QueryRefused(f"the sizes in the statement multiply to {product}, more than {LARGEST}: make less at once")


def _made(name: str, arguments: list[dict[str, Any]]) -> int:
    if name in FORMATTING and (not arguments or _WIDE.search(str(_constant(arguments[0], name)))):
        raise QueryRefused(f"{name} takes widths below 1000 that stand in the statement")
    sizes = [_constant(argument, name) for argument in arguments[SIZES[name]]] if name in SIZES else []
    return max((abs(int(size)) for size in sizes if isinstance(size, int)), default=1) or 1


def _constant(argument: dict[str, Any], name: str) -> Any:
    value = _literal(argument) if argument.get("class") == "CONSTANT" else None
    if value is None:
        raise QueryRefused(f"{name} takes sizes that stand in the statement as plain numbers")
    return value


def _arguments(call: dict[str, Any]) -> list[dict[str, Any]]:
    """DuckDB 1.5 serialises them as ``children``, 2.0 as named ``arguments``."""
    named = [argument["expression"] for argument in call.get("arguments") or []]
    return named or call.get("children") or []


def _literal(constant: dict[str, Any]) -> Any:
    """A number or a text: DuckDB 1.5 has it as a value, 2.0 as it was written."""
    if "literal" not in constant:
        return (constant.get("value") or {}).get("value")
    written = constant["literal"]
    return int(written["text"]) if written.get("kind") == "INTEGER" else written.get("text")
