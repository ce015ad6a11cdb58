"""Which spans make up one request and each of its attempts, as row numbers into the span table.

It names spans by layer and reads hardly any values; ``precedence`` says which layer's value wins. Traces whose requests
have at most one span of each layer are taken by columns (``plain``); the others are looked at one by one, here.
"""

from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.relations.layers import CACHE_HITS, Calls, Layers
from analytics.relations.links import NO_ROW, Ints, Links
from analytics.relations.plain import plain_calls

LAST: Final = 1 << 30  # sorts attempts that carry no number behind those that do

Row = int | None


@dataclass(slots=True)
class _Listed:
    """The span of each layer, one entry per request or attempt; None where that layer sent none."""

    root: list[Row] = field(default_factory=list)
    client: list[Row] = field(default_factory=list)
    gateway: list[Row] = field(default_factory=list)
    attempt: list[Row] = field(default_factory=list)
    engine: list[Row] = field(default_factory=list)

    def add(self, root: Row, client: Row, gateway: Row, attempt: Row, engine: Row) -> None:
        """One more entry."""
        self.root.append(root)
        self.client.append(client)
        self.gateway.append(gateway)
        self.attempt.append(attempt)
        self.engine.append(engine)

    def of(self, rows: pa.Array) -> Layers:
        """With the numbers that these rows have in another table."""
        return Layers(*(rows.take(pa.array(getattr(self, one.name), pa.int64())) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class _Found:
    requests: _Listed = field(default_factory=_Listed)
    attempts: _Listed = field(default_factory=_Listed)
    attempt_requests: list[int] = field(default_factory=list)
    attempt_numbers: list[int] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)

    def of(self, rows: pa.Array) -> Calls:
        """With the numbers that these rows have in another table."""
        return Calls(
            self.requests.of(rows),
            self.attempts.of(rows),
            pa.array(self.attempt_requests, pa.int64()),
            pa.array(self.attempt_numbers, pa.int32()),
            pa.array(self.answers, pa.bool_()),
        )


@dataclass(frozen=True, slots=True)
class _Try:
    attempt: Row
    engine: Row


def find_calls(spans: pa.Table) -> Calls:
    """Requests and attempts of ``spans`` (unique rows), requests in the order of their roots' starts."""
    plain, others = plain_calls(spans)
    if not len(others):
        return plain
    rows = pa.array(others)
    found = _Finder(spans.take(rows)).calls().of(rows)
    return _ordered(spans, found, plain) if len(plain.requests.root) else found


def _ordered(spans: pa.Table, one: Calls, other: Calls) -> Calls:
    """Both, with requests in the order of their roots' starts and attempts in that of their requests."""
    requests = one.requests.followed_by(other.requests)
    attempts = one.attempts.followed_by(other.attempts)
    shifted = pc.add(other.attempt_requests, len(one.requests.root))
    of_request = pa.concat_arrays([one.attempt_requests, shifted])
    numbers = pa.concat_arrays([one.attempt_numbers, other.attempt_numbers])
    keys = {"start": spans["start_ns"].take(requests.root), "span": spans["span_id"].take(requests.root)}
    order = pc.sort_indices(pa.table(keys), [("start", "ascending"), ("span", "ascending")])
    place: Ints = np.empty(len(order), np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    of_request = pa.array(place[of_request.to_numpy()])
    by_request = pc.sort_indices(
        pa.table({"request": of_request, "number": numbers}), [("request", "ascending"), ("number", "ascending")]
    )
    return Calls(
        requests.take(order),
        attempts.take(by_request),
        of_request.take(by_request),
        numbers.take(by_request),
        pa.concat_arrays([one.answers, other.answers]).take(by_request),
    )


class _Finder:
    def __init__(self, spans: pa.Table) -> None:
        self._links = Links(spans)
        self._numbers: list[int | None] = spans["attempt"].to_pylist()
        self._outcomes: list[str | None] = spans["outcome"].to_pylist()
        self._request_ids: list[str | None] = spans["request_id"].to_pylist()
        self._cache_results: list[str | None] = spans["cache_result"].to_pylist()

    def calls(self) -> _Found:
        members: dict[int, list[int]] = defaultdict(list)
        for row, root in self._links.roots.items():
            members[root].append(row)
        found = _Found()
        for root in sorted(members, key=self._links.order):
            self._add_request(found, root, members[root])
        return found

    def _add_request(self, found: _Found, root: int, members: list[int]) -> None:
        by_role: dict[str, list[int]] = defaultdict(list)
        for row in members:
            by_role[self._links.roles[row] or ""].append(row)
        client, gateway = self._outermost(by_role["client"]), self._outermost(by_role["gateway"])
        tries = self._tries(root, by_role["attempt"], by_role["engine"], members)
        answering = self._answering(tries)
        request = len(found.requests.root)
        found.requests.add(root, client, gateway, answering.attempt, answering.engine)
        for number, one in enumerate(tries, start=1):
            found.attempts.add(root, client, gateway, one.attempt, one.engine)
            found.attempt_requests.append(request)
            found.attempt_numbers.append(number)
            found.answers.append(one is answering)

    def _outermost(self, rows: list[int]) -> Row:
        return min(rows, key=lambda row: (self._links.depths[row], self._links.order(row)), default=None)

    def _tries(self, root: int, attempts: list[int], engines: list[int], members: list[int]) -> list[_Try]:
        engines = sorted((row for row in engines if self._links.above(row, "engine") == NO_ROW), key=self._links.order)
        if attempts:
            return self._paired(self._innermost(attempts), engines)
        if engines:
            return [_Try(None, row) for row in engines]
        if any(self._cache_results[row] in CACHE_HITS for row in members):
            return []
        return [_Try(root, None)]

    def _innermost(self, attempts: list[int]) -> list[int]:
        """Attempts without an attempt below them (a gateway behind a gateway), in the order they were made."""
        outer = {self._links.above(row, "attempt") for row in attempts}
        inner = [row for row in attempts if row not in outer]
        return sorted(inner, key=lambda row: (self._numbers[row] or LAST, self._links.order(row)))

    def _paired(self, attempts: list[int], engines: list[int]) -> list[_Try]:
        """Each attempt with the first engine span that answers to it."""
        engine_of: dict[int, int] = {}
        for engine in engines:
            engine_of.setdefault(self._attempt_of(engine, attempts), engine)
        return [_Try(row, engine_of.get(row)) for row in attempts]

    def _attempt_of(self, engine: int, attempts: list[int]) -> int:
        """By parent link, else by the emitter's request id, else the last attempt begun before the engine span."""
        above = self._links.above(engine, "attempt")
        if above != NO_ROW:
            return above
        request_id = self._request_ids[engine]
        for row in attempts:
            if request_id is not None and self._request_ids[row] == request_id:
                return row
        begun = [row for row in attempts if self._links.starts[row] <= self._links.starts[engine]]
        return max(begun or attempts, key=self._links.order) if begun else attempts[0]

    def _answering(self, tries: list[_Try]) -> _Try:
        """The last attempt that answered; the last one at all when none says so."""
        for one in reversed(tries):
            if one.attempt is not None and self._outcomes[one.attempt] == "answered":
                return one
        return tries[-1] if tries else _Try(None, None)
