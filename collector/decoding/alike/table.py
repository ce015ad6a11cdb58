"""Loaded spans and an answer of the dialects → rows of the relation ``spans``, a column at a time."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from collector.decoding.alike import template as layout
from collector.decoding.alike import vectors
from collector.decoding.alike.answer import DURATION, NAME, Answer
from collector.decoding.alike.loading import Loaded, durations_s
from collector.decoding.alike.vectors import Outcome, Vector
from collector.decoding.alike.walk import Ints, Truths
from collector.normalising.flows import Condition, Node, Root
from store import schemas

RELATION = "spans"


@dataclass(slots=True)
class Evaluation:
    """Values of an answer's nodes for loaded spans, each computed once."""

    spans: Loaded
    _known: dict[Node, Outcome] = field(default_factory=dict)
    _texts: dict[Node, tuple[pa.Array, Truths]] = field(default_factory=dict)

    def outcome(self, node: Node, *, exactly: bool = False) -> Outcome:
        """The values of ``node``, and where they are known not to be None."""
        if node.function is None:
            return self.root(node.root), np.ones(len(self.spans), np.bool_)
        if exactly:
            return vectors.lifted(node.function, self._arguments(node), len(self.spans), exactly=True)
        if node not in self._known:
            self._known[node] = vectors.lifted(node.function, self._arguments(node), len(self.spans))
        return self._known[node]

    def texts(self, node: Node) -> tuple[pa.Array, Truths]:
        """The values of ``node`` as the store's maps have them, and where they need not be cut."""
        if node not in self._texts:
            self._texts[node] = vectors.texts(self.outcome(node)[0])
        return self._texts[node]

    def root(self, root: Root | None) -> Vector:
        """The values of a root."""
        if root == DURATION:
            return durations_s(self.spans)
        return self.spans.vectors[("field", layout.NAME) if root == NAME else ("attribute", root)]

    def is_true(self, condition: Condition) -> Truths:
        """Where ``condition`` is fulfilled."""
        if condition.of_none:
            known = self.outcome(condition.node, exactly=condition.outcome)[1]
            return ~known if condition.outcome else known
        vector, sure = self.outcome(condition.node)
        return np.asarray(sure & (vectors.truths(vector) == condition.outcome))

    def _arguments(self, node: Node) -> list[Any]:
        return [self.outcome(one)[0] if isinstance(one, Node) else one for one in node.arguments]


def answered(evaluation: Evaluation, answer: Answer) -> Truths:
    """For which spans the answer holds."""
    true = np.ones(len(evaluation.spans), np.bool_)
    for root, sample in answer.told.items():
        true &= vectors.same(evaluation.root(root), sample)
    for condition in answer.conditions:
        true &= evaluation.is_true(condition)
    for told in answer.attributes.values():
        if isinstance(told, Node):
            true &= evaluation.texts(told)[1]
    return true


def table(evaluation: Evaluation, answer: Answer, shared: dict[str, Any], received_ns: Ints) -> pa.Table:
    """The rows of spans for all of which ``answer`` holds. ``shared`` are columns with one value for all."""
    spans, size = evaluation.spans, len(evaluation.spans)
    told: dict[str, Any] = {**answer.columns, **shared, **_own(spans, received_ns)}
    columns = []
    for column in schemas.arrow(RELATION):
        if column.name == "attributes":
            columns.append(_attributes(evaluation, answer, column.type))
        elif column.name == "resource":
            columns.append(_same_map(shared["resource"], size, column.type))
        elif column.name in told:
            columns.append(_column(evaluation, told[column.name], size, column.type))
        else:
            columns.append(_nulls(column.type, size))
    return pa.Table.from_arrays(columns, schema=schemas.arrow(RELATION))


def _own(spans: Loaded, received_ns: Ints) -> dict[str, Any]:
    walked, (start_ns, end_ns) = spans.walked, spans.times()
    ids = {
        name: walked.hexadecimal(place)
        for name, number in (
            ("trace_id", layout.TRACE_ID),
            ("span_id", layout.SPAN_ID),
            ("parent_span_id", layout.PARENT),
        )
        if (place := walked.template.of_field(number)) is not None
    }
    texts = {
        name: spans.vectors["field", number]
        for name, number in (("name", layout.NAME), ("status_message", layout.STATUS))
        if ("field", number) in spans.vectors
    }
    return {**ids, **texts, "received_ns": received_ns[walked.rows], "start_ns": start_ns, "end_ns": end_ns}


def _column(evaluation: Evaluation, told: Any, size: int, kind: pa.DataType) -> pa.Array:
    if told is None:
        return _nulls(kind, size)
    if isinstance(told, Node):
        return vectors.array(evaluation.outcome(told)[0], kind)
    if isinstance(told, np.ndarray | pa.Array):
        return vectors.array(told, kind)
    return pa.repeat(pa.scalar(told, kind), size)


def _nulls(kind: pa.DataType, size: int) -> pa.Array:
    return _many_nulls(kind, 1 << (size - 1).bit_length()).slice(0, size)


@cache
def _many_nulls(kind: pa.DataType, size: int) -> pa.Array:
    """Sizes are powers of two, so that these are few."""
    return pa.nulls(size, kind)


def _attributes(evaluation: Evaluation, answer: Answer, kind: pa.MapType) -> pa.Array:
    """Maps of the same keys: the texts of all keys behind one another, then taken span by span."""
    size, many = len(evaluation.spans), len(answer.attributes)
    bounds = pa.array(np.arange(size + 1, dtype=np.int32) * np.int32(many))
    told = [
        evaluation.texts(one)[0] if isinstance(one, Node) else pa.repeat(pa.scalar(one), size)
        for one in answer.attributes.values()
    ]
    order = (np.arange(size)[:, None] + size * np.arange(many)[None, :]).ravel()
    items = pa.concat_arrays(told).take(pa.array(order)) if told else pa.array([], pa.string())
    keys = pa.array(list(answer.attributes), pa.string()).take(pa.array(np.tile(np.arange(many), size)))
    return pa.MapArray.from_arrays(bounds, keys, items).cast(kind)


def _same_map(items: dict[str, str], size: int, kind: pa.MapType) -> pa.Array:
    bounds = pa.array([0, len(items)], pa.int32())
    one = pa.MapArray.from_arrays(bounds, pa.array(list(items), pa.string()), pa.array(items.values(), pa.string()))
    return one.cast(kind).take(pa.array(np.zeros(size, np.int32)))
