"""Statements that are wide after they were written short: each step of theirs repeats what the one before has.

DuckDB plans them whole, neither interrupted nor counted: 26 common table expressions, each ``{'a': s, 'b': s}`` of the
last, took 5.6 GB and 37 s of a limit of 256 MB and 3 s. So how often a step repeats its input multiplies over all steps
and must stay small.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from conventions.errors import QueryRefused

WIDEST: Final = 1_000
"""Times the width of a relation: the shipped metrics, asked together, come to 4."""
CONSTRUCTORS: Final = frozenset(
    {
        *("struct_pack", "row", "struct_insert", "struct_concat", "struct_update", "union_value"),
        *("map", "list_zip", "array_zip"),
    }
)

_Node = dict[str, Any]


def check(nodes: Iterable[_Node]) -> None:
    """Raises ``QueryRefused`` when the SELECTs among ``nodes`` of a parse tree could widen their input too much."""
    product = 1
    for node in nodes:
        product *= _repeats(node)
        if product > WIDEST:
            raise QueryRefused(f"the statement repeats columns over {WIDEST} times: name those that it needs, once")


def _repeats(node: _Node) -> int:
    """How many times as wide as its input the result of ``node`` may be."""
    if node.get("type") != "SELECT_NODE":
        return 1
    items = [item for item in node.get("select_list") or [] if isinstance(item, dict)]
    stars = [item for item in items if item.get("class") == "STAR"]
    tables = max(1, sum(1 for _ in _leaves(node.get("from_table") or {})))
    by_star = sum(_copies(star, tables) for star in stars)
    most = max(Counter(name for item in items for name in _handed_on(item)).values(), default=1)
    return max(1, by_star + (most if most > 1 else 0))


def _copies(star: _Node, tables: int) -> int:
    """How often it has a relation of the input; in a union the new names of ``COLUMNS`` come beside the old ones."""
    return (1 if star.get("relation_name") else tables) * (2 if star.get("alias") else 1)


def _leaves(table: _Node) -> Iterator[_Node]:
    """The relations that are joined."""
    if table.get("type") != "JOIN":
        yield table
        return
    yield from _leaves(table["left"])
    yield from _leaves(table["right"])


def _handed_on(item: _Node, *, whole: bool = True, inside: bool = False) -> Iterator[str]:
    """The columns and relations whose type becomes a part of that of ``item``.

    That are those that are the ``whole`` of it, or lie ``inside`` a constructor, but none that is computed with.
    """
    kind = item.get("class")
    if kind == "COLUMN_REF" and (whole or inside):
        yield ".".join(map(str, item.get("column_names") or [])).lower()
    elif kind == "SUBQUERY":
        for one in _parts((item.get("subquery") or {}).get("node", {}).get("select_list")):
            yield from _handed_on(one, inside=inside)
    elif kind != "COLUMN_REF":
        inside = inside or str(item.get("function_name")).lower() in CONSTRUCTORS
        for part in _parts(item):
            yield from _handed_on(part, whole=False, inside=inside)


def _parts(item: Any) -> Iterator[_Node]:
    """The objects right below ``item``."""
    waiting = list(item.values()) if isinstance(item, dict) else [item]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
