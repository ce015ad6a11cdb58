"""What an untrusted statement may name: the public relations, its own CTEs and functions that touch no file.

DuckDB serialises its own parse tree, so this looks at exactly what DuckDB will run. A list of what is allowed, not of
what is forbidden, guards tables and table functions; scalar functions are many and nearly all pure, so the few that
are not are named. Leaks that made each rule necessary: DuckDB 2.0, ``read_blob`` of the database's own file works with
external access disabled, and a data-modifying CTE reports itself as a SELECT.
"""

import json
import re
import threading
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from conventions.errors import QueryRefused
from store import amplification, definitions, widening

_Node = dict[str, Any]

REMEMBERED: Final = 64
"""Statements that passed, by their text: a dashboard asks the same ones again, and walking a large tree takes 20 ms."""
_passed: dict[str, None] = {}
_passing: Final = threading.Lock()

TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series", "repeat", "json_each", "generate_subscripts"})
FORBIDDEN_FUNCTIONS: Final = frozenset(
    {
        *("current_setting", "getenv", "write_log", "sleep_ms", "pg_sleep", "nextval", "setseed", "getvariable"),
        "json_serialize_plan",  # plans SQL in a string, and folds what it finds constant: settings, for one
        # DuckDB's macros that read its catalog
        *("format_type", "get_block_size", "pg_get_constraintdef", "pg_get_viewdef"),
    }
)
QUERY_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
SHOWN: Final = frozenset({"", "tables", "__show_tables_expanded"})

PUBLIC: Final = (*definitions.RELATIONS, *definitions.DERIVED)

_RELATION = re.compile(
    rf"(?:manifest|{'|'.join(PUBLIC)}|(?:{'|'.join(definitions.SETTLED)})_bucketed|"
    rf"(?:{'|'.join(definitions.BY_DAY)})_open|(?:{'|'.join(definitions.MEASURED)})_measured|"
    rf"(?:{'|'.join(definitions.RAW)})_\d{{8}})"
)
_CTE = re.compile(r"(?!duckdb_|pg_|sqlite_|pragma_)[A-Za-z_]\w*", re.IGNORECASE | re.ASCII)


def check(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one SELECT in ``sql``, ready to be executed. Raises ``QueryRefused`` with the reason for anything else."""
    if not _is_text(sql):
        raise QueryRefused("the statement is not valid Unicode text")
    try:
        statements = cursor.extract_statements(sql)
        if sql not in _passed:
            _check_tree(cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0], len(statements))
    except duckdb.Error as error:
        raise QueryRefused(str(error)) from error
    with _passing:
        _passed.pop(sql, None)
        _passed[sql] = None  # at the end: what is asked least is forgotten first
        while len(_passed) > REMEMBERED:
            del _passed[next(iter(_passed))]
    return statements[0]


def _check_tree(answer: str, statements: int) -> None:
    if statements != 1:
        raise QueryRefused(f"one statement at a time: found {statements}")
    tree = _tree(answer)
    ctes = _cte_names(tree)
    for node in _nodes(tree):
        _check_node(node, ctes)
    amplification.check(_nodes(tree))
    widening.check(_nodes(tree))


def _is_text(sql: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in sql)


def _tree(answer: str) -> _Node:
    try:
        tree: _Node = json.loads(answer)
    except RecursionError:
        raise QueryRefused("the statement is nested too deeply") from None
    if tree["error"]:
        reason = tree.get("error_message", "")
        raise QueryRefused(f"only SELECT, FROM, VALUES, DESCRIBE, SUMMARIZE and SHOW TABLES are run: {reason}")
    return tree


def _check_node(node: _Node, ctes: frozenset[str]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in QUERY_NODES:
        raise QueryRefused(f"only reading is allowed here, not {kind.removesuffix('_QUERY_NODE').lower()}")
    if kind == "BASE_TABLE":
        _check_table(node, ctes)
    elif kind == "TABLE_FUNCTION":
        _check_table_function(node["function"])
    elif kind == "SHOW_REF":
        _check_shown(node)
    elif node.get("class") == "FUNCTION":
        _check_function(node)


def _check_table(node: _Node, ctes: frozenset[str]) -> None:
    name, schema, catalog = (str(node.get(key) or "") for key in ("table_name", "schema_name", "catalog_name"))
    known = name.lower() in ctes or _RELATION.fullmatch(name.lower())
    if catalog or schema not in ("", "main") or not known:
        shown = ".".join(part for part in (catalog, schema, name) if part)
        raise QueryRefused(f"no relation {shown!r}: choose from {', '.join(PUBLIC)}")


def _check_table_function(function: _Node) -> None:
    name = str(function.get("function_name", "")).lower()
    if name not in TABLE_FUNCTIONS or function.get("catalog"):
        raise QueryRefused(f"table function {name!r} is not allowed: choose from {', '.join(sorted(TABLE_FUNCTIONS))}")


def _check_shown(node: _Node) -> None:
    shown = str(node.get("table_name") or "").strip('"').lower()
    if shown not in SHOWN and not _RELATION.fullmatch(shown):
        raise QueryRefused(f"SHOW {shown} is not allowed; SHOW TABLES and DESCRIBE <relation> are")


def _check_function(node: _Node) -> None:
    name = str(node.get("function_name", "")).lower()
    if name in FORBIDDEN_FUNCTIONS:
        raise QueryRefused(f"function {name!r} is not allowed")


def _cte_names(tree: _Node) -> frozenset[str]:
    names = {
        str(entry["key"])
        for node in _nodes(tree)
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"].get("map", [])
    }
    for name in names:
        if not _CTE.fullmatch(name):
            raise QueryRefused(f"a CTE cannot be called {name!r} here: use a plain identifier")
    return frozenset(name.lower() for name in names)


def _nodes(tree: Any) -> Iterator[_Node]:
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
