"""Parent links between call spans: who was called on behalf of whom.

A call span is a span with a role. Its call parent is the nearest call span above it; spans that are not model
calls (HTTP client spans) are passed through, agent, workflow and tool spans end the walk. Orphans, duplicates and
cycles are the world's: an orphan is a root for now, a cycle is cut before its earliest span.

It does not know whether a parent that is missing will still arrive.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
NO_ROW: Final = -1
MAX_SPANS_BETWEEN: Final = 64  # spans that are no model call between two that are; a longer chain is taken for a cycle

# operations of the GenAI conventions that group calls without being one
GROUPING_OPERATIONS: Final = frozenset(
    {"invoke_agent", "create_agent", "invoke_workflow", "execute_tool", "plan", "retrieval"}
)
# how other emitters mark the same: OpenLLMetry, OpenInference (compared in lower case)
GROUPING_KIND_KEYS: Final = ("traceloop.span.kind", "openinference.span.kind", "gen_ai.operation.name")
GROUPING_KINDS: Final = GROUPING_OPERATIONS | {"agent", "workflow", "task", "tool", "chain", "retriever", "evaluator"}


def unique(spans: pa.Table) -> pa.Table:
    """``spans`` with each (trace, span) once: the one received first (exporters send again after a lost answer)."""
    if not _repeated(spans):
        return spans.combine_chunks()
    ordered = spans.sort_by([("received_ns", "ascending")])
    first: dict[str, int] = {}
    for row, key in enumerate(_keys(ordered, "span_id")):
        first.setdefault(key, row)
    return ordered.take(pa.array(first.values(), pa.int64())).combine_chunks()


def _repeated(spans: pa.Table) -> bool:
    """Whether any (trace, span) may be there twice."""
    pairs = spans.select(["trace_id", "span_id"]).group_by(["trace_id", "span_id"]).aggregate([])
    return pairs.num_rows < spans.num_rows or not pc.all(pc.not_equal(pairs["span_id"], "")).as_py()


class Links:
    """Parent, root and depth of every call span of ``spans`` (unique rows), by row number."""

    def __init__(self, spans: pa.Table) -> None:
        self.roles: list[str | None] = spans["role"].to_pylist()
        self.starts: list[int] = spans["start_ns"].to_pylist()
        self.span_ids: list[str] = spans["span_id"].to_pylist()
        self._parents = _parent_rows(spans)
        self._grouping = Grouping(spans)
        self.calls = [row for row, role in enumerate(self.roles) if role is not None]
        self.call_parents = {row: self._call_parent(row) for row in self.calls}
        self._join_engines_by_request_id(spans)
        self.roots: dict[int, int] = {}
        self.depths: dict[int, int] = {}
        for row in self.calls:
            if row not in self.roots:
                self._find_root(row)

    def above(self, row: int, role: str) -> int:
        """The nearest call span with ``role`` above ``row``; ``NO_ROW`` without one."""
        row = self.call_parents[row]
        while row != NO_ROW and self.roles[row] != role:
            row = self.call_parents[row]
        return row

    def order(self, row: int) -> tuple[int, str]:
        """Sorting key: by start, equal starts by span id."""
        return self.starts[row], self.span_ids[row]

    def _call_parent(self, row: int) -> int:
        parent = self._parents[row]
        for _ in range(MAX_SPANS_BETWEEN):
            if parent == NO_ROW or self.roles[parent] is not None:
                return parent
            if self._grouping.at(parent):
                return NO_ROW
            parent = self._parents[parent]
        return NO_ROW

    def _join_engines_by_request_id(self, spans: pa.Table) -> None:
        """Hang engine spans that have no call parent under the span of their trace with the same request id."""
        orphans = [row for row in self.calls if self.roles[row] == "engine" and self.call_parents[row] == NO_ROW]
        if not orphans:
            return
        keys = _keys(spans, "request_id")
        callers: dict[str, int] = {}
        for role in ("client", "gateway", "attempt"):  # the innermost caller is entered last and stays
            callers.update({keys[row]: row for row in self.calls if self.roles[row] == role and keys[row]})
        for row in orphans:
            self.call_parents[row] = callers.get(keys[row], NO_ROW) if keys[row] else NO_ROW

    def _find_root(self, start: int) -> None:
        path: dict[int, None] = {}
        row = start
        while row not in self.roots and row not in path:
            path[row] = None
            if self.call_parents[row] == NO_ROW:
                self.roots[row], self.depths[row] = row, 0
            else:
                row = self.call_parents[row]
        if row not in self.roots:
            self._cut_cycle(row)
            return self._find_root(start)
        for below in reversed(path):
            if below not in self.roots:
                parent = self.call_parents[below]
                self.roots[below], self.depths[below] = self.roots[parent], self.depths[parent] + 1

    def _cut_cycle(self, row: int) -> None:
        members = [row]
        while self.call_parents[members[-1]] != row:
            members.append(self.call_parents[members[-1]])
        self.call_parents[min(members, key=self.order)] = NO_ROW


class Grouping:
    """Tells agent, workflow and tool spans from the rest; looks at attributes only of spans that are asked for."""

    def __init__(self, spans: pa.Table) -> None:
        self._operations = spans["operation"]
        self._attributes = spans["attributes"]
        self._known: dict[int, bool] = {}

    def at(self, row: int) -> bool:
        """Whether the span of that row groups calls."""
        if row not in self._known:
            self._known[row] = self._look(row)
        return self._known[row]

    def _look(self, row: int) -> bool:
        if self._operations[row].as_py() in GROUPING_OPERATIONS:
            return True
        attributes: Mapping[str, Any] = dict(self._attributes[row].as_py() or ())
        return any(str(attributes.get(key, "")).lower() in GROUPING_KINDS for key in GROUPING_KIND_KEYS)


def _keys(spans: pa.Table, column: str) -> list[str]:
    """Trace id and ``column`` as one key per row; empty where the column is NULL."""
    pairs = zip(spans["trace_id"].to_pylist(), spans[column].to_pylist(), strict=True)
    return [f"{trace}:{value}" if value else "" for trace, value in pairs]


def _parent_rows(spans: pa.Table) -> list[int]:
    rows = {key: row for row, key in enumerate(_keys(spans, "span_id"))}
    return [rows.get(key, NO_ROW) if key else NO_ROW for key in _keys(spans, "parent_span_id")]
