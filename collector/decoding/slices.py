"""A large OTLP message as several small ones, so that the memory it takes does not depend on how it is built.

Protobuf makes up to 86 bytes of memory of one byte sent (two bytes are an empty span; measured), so that a body of
64 MB could take 5 GB. A large body is therefore walked, cut between its items (spans, metrics, log records) and decoded
slice by slice. Source: protobuf's encoding; the field numbers are the same in all three signals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from collector.decoding.batch import Refusals
from conventions.errors import MalformedPayload, PayloadTooLarge

WHOLE_BYTES: Final = 2_000_000
"""Bodies up to here are decoded in one go, larger ones in slices of about this size."""
MAX_PART_BYTES: Final = 8_000_000
MAX_PARTS: Final = 500_000
TOO_MANY: Final = f"over {MAX_PARTS} resources, scopes and items in one request: send smaller batches"
TOO_LARGE: Final = f"the item, its resource or its scope is over {MAX_PART_BYTES} bytes: send less in attributes"
BROKEN: Final = "the body is not an OTLP protobuf message: it ends too early or is not protobuf"

RESOURCES, CHILDREN = 1, 2  # field numbers: resources of a request; scopes of a resource, items of a scope
VARINT, LENGTH_DELIMITED = 0, 2  # wire types
FIXED_BYTES: Final = {1: 8, 5: 4}

Part = tuple[int, int, int, int]  # number, where its tag starts, where its content begins and ends


@dataclass(slots=True)
class Slices:
    """The messages that ``body`` is cut into; ``refusals`` has, after the last one, what was too large to be kept."""

    body: bytes
    refusals: Refusals = field(default_factory=Refusals)
    _parts: int = 0
    _size: int = 0
    _items: list[bytes] = field(default_factory=list)
    _scopes: list[bytes] = field(default_factory=list)
    _resources: list[bytes] = field(default_factory=list)

    def __iter__(self) -> Iterator[bytes]:
        """Raises ``MalformedPayload`` where the message is broken, ``PayloadTooLarge`` over ``MAX_PARTS``."""
        if len(self.body) <= WHOLE_BYTES:
            yield self.body
            return
        for number, _, begin, end in fields(self.body, 0, len(self.body)):
            self._count()
            if number == RESOURCES:
                yield from self._cut(begin, end)
        yield self._closed()

    def _cut(self, begin: int, end: int) -> Iterator[bytes]:
        """Take in one resource; gives a slice whenever one is full."""
        head, scopes = self._parted(begin, end)
        for _, _, scope_begin, scope_end in scopes:
            scope_head, items = self._parted(scope_begin, scope_end)
            fits = max(len(head), len(scope_head)) <= MAX_PART_BYTES
            for _, start, item_begin, item_end in items:
                if not fits or item_end - item_begin > MAX_PART_BYTES:
                    self.refusals.add(TOO_LARGE)
                    continue
                self._items.append(self.body[start:item_end])
                self._size += item_end - start
                if self._size >= WHOLE_BYTES:
                    self._close_scope(scope_head)
                    self._close_resource(head)
                    yield self._closed()
            self._close_scope(scope_head)
        self._close_resource(head)

    def _parted(self, begin: int, end: int) -> tuple[bytes, list[Part]]:
        """What a resource or scope says about itself, and its children; counted."""
        own: list[bytes] = []
        children: list[Part] = []
        for one in fields(self.body, begin, end):
            self._count()
            if one[0] == CHILDREN:
                children.append(one)
            else:
                own.append(self.body[one[1] : one[3]])
        return b"".join(own), children

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise PayloadTooLarge(TOO_MANY)

    def _close_scope(self, head: bytes) -> None:
        if self._items:
            self._scopes.append(delimited(CHILDREN, head + b"".join(self._items)))
            self._size += len(head)
            self._items = []

    def _close_resource(self, head: bytes) -> None:
        if self._scopes:
            self._resources.append(delimited(RESOURCES, head + b"".join(self._scopes)))
            self._size += len(head)
            self._scopes = []

    def _closed(self) -> bytes:
        message = b"".join(self._resources)
        self._resources, self._size = [], 0
        return message


def fields(body: bytes, position: int, end: int) -> Iterator[Part]:
    """The fields between two positions. Raises ``MalformedPayload``; groups, which OTLP has none of, are such."""
    while position < end:
        start = position
        tag, position = _varint(body, position)
        wire = tag & 7
        if wire == LENGTH_DELIMITED:
            length, position = _varint(body, position)
            after = position + length
        elif wire == VARINT:
            after = _varint(body, position)[1]
        else:
            after = position + FIXED_BYTES.get(wire, end)
        if after > end:
            raise MalformedPayload(BROKEN)
        yield tag >> 3, start, position, after
        position = after


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """The number at ``position``, and where it ends."""
    number = shift = 0
    try:
        while (byte := body[position]) > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
            position += 1
    except IndexError:
        raise MalformedPayload(BROKEN) from None
    if shift > 63:
        raise MalformedPayload(BROKEN)
    return number | byte << shift, position + 1


def delimited(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    length, head = len(content), bytearray([number << 3 | LENGTH_DELIMITED])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + content
