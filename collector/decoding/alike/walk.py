"""Many spans against one template at once: which of them it fits, and where their values lie.

All that a span's bytes say about its structure is compared; a span that differs anywhere is not taken.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.decoding.alike.template import Length, Place, Run, Template

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Truths = npt.NDArray[np.bool_]
SPARE: Final = 16
"""Zeros behind the spans: what is read there is no value, and reading it is allowed."""
WORD: Final = 8
VARINT_BYTES: Final = 10
HEX: Final = np.array([int.from_bytes(b"%02x" % byte, "little") for byte in range(256)], np.uint16)


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans behind one another in ``data``, which ends with ``SPARE`` zeros."""

    data: Bytes
    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, items: list[bytes]) -> "Spans":
        """``items`` joined."""
        data = np.frombuffer(b"".join([*items, bytes(SPARE)]), np.uint8)
        ends = np.cumsum(np.fromiter(map(len, items), np.int64, len(items)))
        return cls(data, np.concatenate([np.zeros(1, np.int64), ends[:-1]]), ends)


@dataclass(frozen=True, slots=True)
class Walked:
    """The spans at ``rows`` fit the template: what was read of every run, and where the values behind runs lie."""

    template: Template
    data: Bytes
    rows: Ints
    taken: tuple[Bytes, ...]  # [span, byte of the run]
    starts: tuple[Ints, ...]
    lengths: tuple[Ints, ...]

    def only(self, chosen: Truths) -> "Walked":
        """Some of them."""
        taken = tuple(one[chosen] for one in self.taken)
        starts, lengths = tuple(one[chosen] for one in self.starts), tuple(one[chosen] for one in self.lengths)
        return Walked(self.template, self.data, self.rows[chosen], taken, starts, lengths)

    def raw(self, place: Place) -> Bytes:
        """[span, byte] of a value of fixed size."""
        return np.ascontiguousarray(self.taken[place.run][:, place.offset : place.offset + place.size])

    def hexadecimal(self, place: Place) -> pa.StringArray:
        """An id as hex digits."""
        digits = HEX[self.raw(place)]
        size, width = len(digits), 2 * place.size
        ends = np.arange(0, (size + 1) * width, width, dtype=np.int32)
        return pa.StringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(digits))

    def integers(self, place: Place) -> Ints:
        """A fixed64, as a signed number."""
        return self.raw(place).view(np.int64)[:, 0]

    def doubles(self, place: Place) -> npt.NDArray[np.float64]:
        """A double."""
        return self.raw(place).view(np.float64)[:, 0]

    def pieces(self, place: Place) -> pa.BinaryArray:
        """A value behind a run, as its bytes."""
        begins, lengths = self.starts[place.run], self.lengths[place.run]
        bounds = np.empty(2 * len(begins), np.int32)
        bounds[0::2], bounds[1::2] = begins, begins + lengths
        between = pa.BinaryArray.from_buffers(
            pa.binary(), max(0, len(bounds) - 1), [None, pa.py_buffer(bounds), pa.py_buffer(self.data)]
        )
        return between.take(pa.array(np.arange(0, len(bounds), 2)))

    def varints(self, place: Place) -> tuple[Ints, Truths]:
        """Numbers, and where they are as long as they say."""
        begins, lengths = self.starts[place.run], self.lengths[place.run]
        numbers = np.zeros(len(begins), np.uint64)
        good = (lengths > 0) & (lengths <= VARINT_BYTES)
        for at in range(min(VARINT_BYTES, int(lengths.max(initial=0)))):
            byte = self.data[np.where(lengths > at, begins + at, 0)]
            good &= (lengths <= at) | ((byte > 0x7F) == (lengths > at + 1))
            good &= (at < VARINT_BYTES - 1) | (lengths <= at) | (byte < 2)
            numbers |= np.where(lengths > at, (byte & 0x7F).astype(np.uint64) << np.uint64(7 * at), np.uint64(0))
        return numbers.view(np.int64), good


def walked(template: Template, spans: Spans, rows: Ints) -> Walked:
    """Those of the spans at ``rows`` that fit."""
    cursor, ends = spans.begins[rows], spans.ends[rows]
    taken: list[Bytes] = []
    starts: list[Ints] = []
    lengths: list[Ints] = []
    for run in template.runs:
        read = _read(spans.data, cursor, len(run.pattern))
        fits = _fits(read, run)
        cursor = cursor + run.size
        length = np.zeros(len(cursor), np.int64)
        if run.lengths:
            length, agree = _length(read, run.lengths)
            fits = agree if fits is None else fits & agree
            agree = length <= ends - cursor
            fits = fits & agree
        taken, starts, lengths = [*taken, read], [*starts, cursor], [*lengths, length]
        cursor = cursor + length
        if fits is not None and not fits.all():
            rows, cursor, ends = rows[fits], cursor[fits], ends[fits]
            taken = [one[fits] for one in taken]
            starts, lengths = [one[fits] for one in starts], [one[fits] for one in lengths]
    found = Walked(template, spans.data, rows, tuple(taken), tuple(starts), tuple(lengths))
    whole = cursor == ends
    return found if whole.all() else found.only(whole)


def _read(data: Bytes, cursor: Ints, size: int) -> Bytes:
    """``size`` bytes from every position. A position too near the end gives others; its span then ends too early."""
    if size > len(data):
        return np.zeros((len(cursor), size), np.uint8)
    windows: npt.NDArray[Any] = np.ndarray((len(data) - size + 1,), np.dtype((np.void, size)), data, 0, (1,))
    picked = windows[np.minimum(cursor, len(data) - size)]
    return picked.view(np.uint8).reshape(len(cursor), size)


def _fits(read: Bytes, run: Run) -> Truths | None:
    """Where the literal bytes are right; ``None``: everywhere."""
    words = read.view(np.uint64)
    wrong = (words ^ np.frombuffer(run.pattern, np.uint64)) & np.frombuffer(run.mask, np.uint64)
    if not wrong.any():
        return None
    return np.asarray(~wrong.any(axis=1))


def _length(read: Bytes, told: tuple[Length, ...]) -> tuple[Ints, Truths]:
    """The length of the value behind the run, and where all lengths agree about it."""
    if told[0].width == 1:  # then all of them are short
        short = read[:, [one.offset for one in told]].astype(np.int64)
        inner = short[:, -1] - told[-1].extra
        wanted = inner[:, None] + np.array([one.extra for one in told])
        return inner, np.asarray((inner >= 0) & ((short == wanted) & (short <= 0x7F)).all(axis=1))
    inner, agree = _varint(read, told[-1])
    inner = inner - told[-1].extra
    agree &= inner >= 0
    for one in told[:-1]:
        outer, well = _varint(read, one)
        agree &= well & (outer == inner + one.extra)
    return inner, agree


def _varint(read: Bytes, place: Length) -> tuple[Ints, Truths]:
    number = np.zeros(len(read), np.int64)
    well = np.ones(len(read), np.bool_)
    for at in range(place.width):
        byte = read[:, place.offset + at]
        well &= (byte > 0x7F) == (at < place.width - 1)
        number |= (byte & 0x7F).astype(np.int64) << (7 * at)
    return number, well


def utf8(texts: pa.BinaryArray) -> Truths | None:
    """Where ``texts`` are UTF-8; ``None``: everywhere."""
    data = texts.buffers()[2]
    if data is None or not (np.frombuffer(data, np.uint8) & 0x80).any():
        return None
    return np.fromiter((_is_utf8(one) for one in texts.to_pylist()), np.bool_, len(texts))


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
