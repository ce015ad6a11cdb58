"""Calls of traces in which each request has at most one span of each layer: by columns, whatever their number.

Most traces are such, and Python took 8 µs per span to look at them one by one, keeping its other threads waiting.
What is not plain is left to ``calls``: retries, spans that are joined by a request id, cycles, layers within layers.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.layers import CACHE_HITS, Calls, Layers
from analytics.relations.links import MAX_SPANS_BETWEEN, NO_ROW, Grouping, Ints

ROLES: Final = ("client", "gateway", "attempt", "engine")
ENGINE: Final = ROLES.index("engine")
UNKNOWN: Final = len(ROLES)  # a role that is none of these
NO_ROLE: Final = -1
DOUBLINGS: Final = 7  # of the steps to a root: a chain of over 128 calls is left to ``calls``


def plain_calls(spans: pa.Table) -> tuple[Calls, Ints]:
    """Calls of the plain traces of ``spans`` (unique rows), in the order of their roots, and the rows of the others."""
    roles = _roles(spans)
    traces, parents = _parents(spans)
    calls = np.flatnonzero(roles != NO_ROLE)
    above = _call_parents(spans, roles, parents, calls)
    roots = _roots(above)
    members = _Members(roles[calls], roots[calls])
    odd = (
        (above[roots[calls]] != NO_ROW)
        | members.crowded
        | _joined_by_id(roles[calls], above[calls], traces[calls], traces.max(initial=0) + 1)
    )
    mixed = np.zeros(traces.max(initial=0) + 1, np.bool_)
    mixed[traces[calls[odd]]] = True
    kept = calls[~mixed[traces[calls]]]
    return _calls(spans, _Members(roles[kept], roots[kept]), kept), np.flatnonzero(mixed[traces])


class _Members:
    """The spans of each request, by role."""

    def __init__(self, roles: Ints, roots: Ints) -> None:
        self.roots, self.groups = np.unique(roots, return_inverse=True)
        self.roles = roles
        slots = self.groups * (UNKNOWN + 1) + roles
        self.crowded = (np.bincount(slots)[slots] > 1) | (roles == UNKNOWN) if len(slots) else slots == UNKNOWN

    def rows(self, calls: Ints, role: int) -> Ints:
        """The row of each request's span of ``role``, ``NO_ROW`` where it has none."""
        found = np.full(len(self.roots), NO_ROW, np.int64)
        own = self.roles == role
        found[self.groups[own]] = calls[own]
        return found

    def any(self, flags: Any) -> Any:
        """Whether ``flags``, one per span, is set for any of each request."""
        return np.bincount(self.groups, flags, len(self.roots)) > 0


def _calls(spans: pa.Table, members: _Members, calls: Ints) -> Calls:
    client, gateway, attempt, engine = (members.rows(calls, role) for role in range(len(ROLES)))
    alone = (attempt == NO_ROW) & (engine == NO_ROW)
    hits: Any = pc.is_in(spans["cache_result"].take(pa.array(calls)), value_set=pa.array(CACHE_HITS))
    cached = alone & members.any(hits.to_numpy(zero_copy_only=False))
    attempt = np.where(alone & ~cached, members.roots, attempt)
    layers = Layers(*map(_nullable, (members.roots, client, gateway, attempt, engine)))
    keys = {name: spans[name].take(layers.root) for name in ("start_ns", "span_id")}
    order = pc.sort_indices(pa.table(keys), [("start_ns", "ascending"), ("span_id", "ascending")])
    tried = np.flatnonzero(~cached[order.to_numpy()])
    requests = layers.take(order)
    return Calls(
        requests,
        requests.take(pa.array(tried)),
        pa.array(tried),
        pa.array(np.ones(len(tried), np.int32)),
        pa.array(np.ones(len(tried), np.bool_)),
    )


def _nullable(rows: Ints) -> pa.Array:
    return pa.array(rows, pa.int64(), mask=rows == NO_ROW)


def _roles(spans: pa.Table) -> Ints:
    named = pc.index_in(spans["role"], value_set=pa.array(ROLES))
    named = pc.if_else(pc.is_null(spans["role"]), NO_ROLE, pc.fill_null(named, UNKNOWN))
    return np.asarray(named.to_numpy(), np.int64)


def _parents(spans: pa.Table) -> tuple[Ints, Ints]:
    """The trace of each span as a number, and the row of its parent."""
    traces = np.asarray(spans["trace_id"].combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)
    names = pc.if_else(pc.equal(spans["span_id"], ""), None, spans["span_id"]).combine_chunks().dictionary_encode()
    count = max(len(names.dictionary), 1)
    own = np.asarray(names.indices.fill_null(NO_ROW).to_numpy(zero_copy_only=False), np.int64)
    wanted = pc.fill_null(pc.index_in(spans["parent_span_id"], value_set=names.dictionary), NO_ROW).to_numpy()
    named = np.flatnonzero(own != NO_ROW)
    order = named[np.argsort(traces[named] * count + own[named], kind="stable")]
    keys, sought = traces[order] * count + own[order], traces * count + wanted
    places = np.minimum(np.searchsorted(keys, sought), max(len(keys) - 1, 0))
    if not len(keys):
        return traces, np.full(len(traces), NO_ROW, np.int64)
    return traces, np.where((wanted != NO_ROW) & (keys[places] == sought), order[places], NO_ROW)


def _call_parents(spans: pa.Table, roles: Ints, parents: Ints, calls: Ints) -> Ints:
    """The nearest call span above each call span; spans that group calls end the walk."""
    above = np.full(len(roles), NO_ROW, np.int64)
    above[calls] = parents[calls]
    grouping = Grouping(spans)
    for _ in range(MAX_SPANS_BETWEEN):
        between = calls[(above[calls] != NO_ROW) & (roles[above[calls]] == NO_ROLE)]
        if not len(between):
            return above
        passed, which = np.unique(above[between], return_inverse=True)
        further = np.array([NO_ROW if grouping.at(int(row)) else parents[row] for row in passed], np.int64)
        above[between] = further[which]
    above[between] = NO_ROW
    return above


def _roots(above: Ints) -> Ints:
    """The last span above each; where there is a cycle, one that still has another above it."""
    roots = np.where(above == NO_ROW, np.arange(len(above)), above)
    for _ in range(DOUBLINGS):
        roots = roots[roots]
    return np.asarray(roots)


def _joined_by_id(roles: Ints, above: Ints, traces: Ints, count: int) -> Any:
    """Engine spans without a call above them in a trace that has callers: request ids may join them."""
    callers = np.bincount(traces, roles < ENGINE, count) > 0
    return (roles == ENGINE) & (above == NO_ROW) & callers[traces]
