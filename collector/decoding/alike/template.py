"""How the bytes of a span are laid out, learnt from one: what all spans of its kind share, and where their values lie.

An emitter's spans of one kind have the same fields and attributes in the same order; lengths and values differ. A
template is a row of runs: bytes of fixed size with holes for values of fixed size, and behind each run at most one
value whose length the run tells. Source: protobuf's encoding, opentelemetry-proto 1.9 (trace.proto, common.proto).
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from collector.decoding.slices import LENGTH_DELIMITED, VARINT, fields
from collector.normalising.values import MAX_TEXT
from conventions.errors import MalformedPayload

MOST_ATTRIBUTES: Final = 128
LONGEST: Final = 16_384
"""Bytes of a span that is learnt from: a run is as long as its literal bytes, and all of them are read at once."""
FIXED64, FIXED32 = 1, 5  # wire types
TRACE_ID, SPAN_ID, TRACE_STATE, PARENT, NAME, KIND, START, END, ATTRIBUTE, DROPPED = range(1, 11)
DROPPED_EVENTS, DROPPED_LINKS, STATUS, FLAGS = 12, 14, 15, 16
SIZES: Final = {TRACE_ID: 16, SPAN_ID: 8, PARENT: 8}
KEY, VALUE = 1, 2  # of an attribute
STRING, BOOL, INT, DOUBLE, ARRAY, MAP, BYTES = range(1, 8)  # of a value
MESSAGE, CODE = 2, 3  # of a status


class Kind(Enum):
    """What a value is in the bytes."""

    TEXT = "text"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    OTHER = "other"  # a whole AnyValue
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Length:
    """A varint of ``width`` bytes at ``offset`` of its run: the length of the value behind the run, and ``extra``."""

    offset: int
    width: int
    extra: int


@dataclass(frozen=True, slots=True)
class Run:
    """``pattern`` has what all spans share where ``mask`` is 255; both are filled up to a multiple of eight."""

    pattern: bytes
    mask: bytes
    size: int
    lengths: tuple[Length, ...]  # of the value behind it, the innermost last; empty: none


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies: in a hole of a run, or (``offset`` -1) behind it."""

    name: Any  # a field number, or the place of an attribute
    kind: Kind
    run: int
    offset: int = -1
    size: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """Runs and places; ``keys`` are those of the attributes in order."""

    runs: tuple[Run, ...]
    places: tuple[Place, ...]
    keys: tuple[str, ...]

    def of_field(self, number: int) -> Place | None:
        """Where the value of a span's field lies."""
        return next((one for one in self.places if one.name == ("field", number)), None)


class Unlike(Exception):
    """No template is made of such a span."""


@dataclass(slots=True)
class _Draft:
    """A template while it is being written."""

    body: bytes
    runs: list[Run] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    _pattern: bytearray = field(default_factory=bytearray)
    _mask: bytearray = field(default_factory=bytearray)

    def literal(self, begin: int, end: int) -> None:
        """Bytes that all spans share."""
        self._pattern += self.body[begin:end]
        self._mask += b"\xff" * (end - begin)

    def hole(self, name: Any, kind: Kind, size: int) -> None:
        """A value of fixed size."""
        self.places.append(Place(name, kind, len(self.runs), len(self._pattern), size))
        self._pattern += bytes(size)
        self._mask += bytes(size)

    def behind(self, name: Any, kind: Kind, begin: int, head: tuple[tuple[int, int, int], ...]) -> None:
        """A value of any length, its head from ``begin`` on; ``head`` has where lengths begin and end, and extra."""
        start = len(self._pattern) - begin
        self.literal(begin, head[-1][1] if kind is not Kind.INT else head[-1][1] + 1)
        lengths = tuple(Length(at + start, until - at, extra) for at, until, extra in head)
        for one in lengths:
            self._mask[one.offset : one.offset + one.width] = bytes(one.width)
        self.places.append(Place(name, kind, len(self.runs)))
        self.end_run(lengths)

    def end_run(self, lengths: tuple[Length, ...] = ()) -> None:
        """The run is complete."""
        size = len(self._pattern)
        filled = bytes(-size % 8)
        self.runs.append(Run(bytes(self._pattern) + filled, bytes(self._mask) + filled, size, lengths))
        self._pattern, self._mask = bytearray(), bytearray()

    def finished(self) -> Template:
        """All of it."""
        if self._pattern:
            self.end_run()
        return Template(tuple(self.runs), tuple(self.places), tuple(self.keys))


def learnt(body: bytes) -> Template:
    """The template of a span. Raises ``Unlike``: events, links, unknown fields and repeated ones have none."""
    if len(body) > LONGEST:
        raise Unlike
    draft, seen = _Draft(body), set[int]()
    try:
        for number, start, begin, end in fields(body, 0, len(body)):
            if number in seen and number != ATTRIBUTE:
                raise Unlike
            seen.add(number)
            _field(draft, number, start, begin, end)
    except MalformedPayload:
        raise Unlike from None
    if not {TRACE_ID, SPAN_ID, START, END} <= seen or len(set(draft.keys)) < len(draft.keys):
        raise Unlike
    if len(draft.keys) > MOST_ATTRIBUTES or max(map(len, draft.keys), default=0) > MAX_TEXT:
        raise Unlike
    return draft.finished()


def _field(draft: _Draft, number: int, start: int, begin: int, end: int) -> None:
    wire = draft.body[start] & 7
    name = ("field", number)
    if wire == LENGTH_DELIMITED and SIZES.get(number) == end - begin:
        draft.literal(start, begin)
        draft.hole(name, Kind.RAW, end - begin)
    elif wire == LENGTH_DELIMITED and number in (NAME, TRACE_STATE):
        draft.behind(name, Kind.TEXT, start, ((start + 1, begin, 0),))
    elif wire == LENGTH_DELIMITED and number == ATTRIBUTE:
        _attribute(draft, start, begin, end)
    elif wire == LENGTH_DELIMITED and number == STATUS:
        _status(draft, start, begin, end)
    elif (wire == FIXED64 and number in (START, END)) or (wire == FIXED32 and number == FLAGS):
        draft.literal(start, begin)
        draft.hole(name, Kind.RAW, end - begin)
    elif wire == VARINT and number in (KIND, DROPPED, DROPPED_EVENTS, DROPPED_LINKS):
        draft.literal(start, end)
    else:
        raise Unlike


def _status(draft: _Draft, start: int, begin: int, end: int) -> None:
    """A status with a message has it first, as every encoder writes it."""
    parts = list(fields(draft.body, begin, end))
    if [one[0] for one in parts] == [MESSAGE, CODE] and draft.body[parts[0][1]] & 7 == LENGTH_DELIMITED:
        _, at, text, until = parts[0]
        draft.behind(
            ("field", STATUS), Kind.TEXT, start, ((start + 1, begin, text - begin + end - until), (at + 1, text, 0))
        )
        draft.literal(until, end)
    elif [one[0] for one in parts] == [CODE] or not parts:
        draft.literal(start, end)
    else:
        raise Unlike


def _attribute(draft: _Draft, start: int, begin: int, end: int) -> None:
    parts = list(fields(draft.body, begin, end))
    if [draft.body[one[1]] for one in parts] != [KEY << 3 | 2, VALUE << 3 | 2]:
        raise Unlike
    (_, _, key, key_end), (_, value_at, value, _) = parts
    inner = list(fields(draft.body, value, end))
    if len(inner) != 1:
        raise Unlike
    name = ("attribute", len(draft.keys))
    try:
        draft.keys.append(draft.body[key:key_end].decode())
    except UnicodeDecodeError:
        raise Unlike from None
    number, tag_at, content, _ = inner[0]
    outer, middle = (start + 1, begin), (value_at + 1, value)
    to_value = value - begin
    match number, draft.body[tag_at] & 7:
        case (1, 2):
            told = content - value
            lengths = (*outer, to_value + told), (*middle, told), (tag_at + 1, content, 0)
            draft.behind(name, Kind.TEXT, start, lengths)
        case (2, 0) if end - content == 1:
            draft.literal(start, content)
            draft.hole(name, Kind.BOOL, 1)
        case (3, 0) if content == tag_at + 1 == value + 1:
            draft.behind(name, Kind.INT, start, ((*outer, to_value + 1), (*middle, 1)))
        case (4, 1):
            draft.literal(start, content)
            draft.hole(name, Kind.DOUBLE, 8)
        case (5 | 6 | 7, 2):
            draft.behind(name, Kind.OTHER, start, ((*outer, to_value), (*middle, 0)))
        case _:
            raise Unlike
