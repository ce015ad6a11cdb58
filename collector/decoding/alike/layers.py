"""Requests taken apart into spans as bytes, by who sent them; what was not decoded is put together again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError

from collector.decoding.alike.walk import Ints, Truths
from collector.decoding.salvage import HEAD, ITEMS, message_type
from collector.decoding.slices import CHILDREN, RESOURCES, delimited

Sender = tuple[bytes, bytes]  # resource and scope as they are encoded
Parts = list[tuple[Sender, list[bytes]]]  # the scopes of a request: whose, and their spans
MOST_BYTES: Final = 4_000_000
"""Of a body: 28 bytes of memory for a byte sent is what empty spans take here."""
LAYERS: Final = message_type(
    "Spans",
    Scope=[("heads", HEAD, "bytes", True), ("items", ITEMS, "bytes", True), ("schema_url", 3, "string", False)],
    Resource=[("heads", HEAD, "bytes", True), ("scopes", ITEMS, "Scope", True), ("schema_url", 3, "string", False)],
    Spans=[("resources", 1, "Resource", True)],
)


def taken_apart(body: bytes) -> Parts | None:
    """``None`` where protobuf reads more than this: two heads are merged, text that is not UTF-8 is refused."""
    layers = LAYERS()
    try:
        if len(body) > MOST_BYTES:
            return None
        layers.ParseFromString(body)
    except DecodeError:
        return None
    found = []
    for resource in layers.resources:
        for scope in resource.scopes:
            if len(resource.heads) > 1 or len(scope.heads) > 1:
                return None
            sender = b"".join(resource.heads), b"".join(scope.heads)
            found.append((sender, list(scope.items)))
    return found


def put_together(parts: Sequence[tuple[Sender, Sequence[bytes]]]) -> bytes:
    """A request of ``parts``."""
    return b"".join(
        delimited(RESOURCES, delimited(HEAD, resource) + delimited(CHILDREN, delimited(HEAD, scope) + _items(items)))
        for (resource, scope), items in parts
        if items
    )


def _items(items: Sequence[bytes]) -> bytes:
    return b"".join(delimited(ITEMS, one) for one in items)


@dataclass(slots=True)
class _Sent:
    """Spans of one sender, of several requests."""

    items: list[bytes] = field(default_factory=list)
    received: list[tuple[int, int]] = field(default_factory=list)  # when, and how many
    taken: Truths = field(default_factory=lambda: np.zeros(0, np.bool_))

    def times(self) -> Ints:
        """When each was received."""
        when, many = (np.array(one, np.int64) for one in zip(*self.received, strict=True))
        return np.repeat(when, many)


@dataclass(frozen=True, slots=True)
class _Request:
    """One body, and where its spans are among those of their senders."""

    body: bytes
    received_ns: int
    parts: list[tuple[Sender, int, int]]  # first, and the one after the last


@dataclass(slots=True)
class Gathered:
    """Spans of several requests by sender."""

    senders: dict[Sender, _Sent] = field(default_factory=dict)
    _requests: list[_Request] = field(default_factory=list)

    def add(self, body: bytes, received_ns: int, parts: Parts) -> None:
        """One more request."""
        places = []
        for sender, items in parts:
            sent = self.senders.setdefault(sender, _Sent())
            places.append((sender, len(sent.items), len(sent.items) + len(items)))
            sent.items += items
            sent.received.append((received_ns, len(items)))
        self._requests.append(_Request(body, received_ns, places))

    def left(self) -> list[tuple[bytes, int]]:
        """The requests with those spans that were not taken, and when they were received."""
        return [(body, one.received_ns) for one in self._requests if (body := self._left(one))]

    def _left(self, request: _Request) -> bytes:
        """A request of which nothing was taken is left as it was."""
        whole = (self.senders[sender].taken[first:end] for sender, first, end in request.parts)
        some, every = _extent(whole)
        if not some:
            return request.body
        if every:
            return b""
        return put_together([(sender, self._strange(sender, first, end)) for sender, first, end in request.parts])

    def _strange(self, sender: Sender, first: int, end: int) -> list[bytes]:
        sent = self.senders[sender]
        return [sent.items[place] for place in (first + np.flatnonzero(~sent.taken[first:end])).tolist()]


def _extent(taken: Iterable[Truths]) -> tuple[bool, bool]:
    """Whether some of the spans are taken, and whether all are."""
    counts = [(int(np.count_nonzero(one)), len(one)) for one in taken]
    return any(some for some, _ in counts), all(some == every for some, every in counts)
