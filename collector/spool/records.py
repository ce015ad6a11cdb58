"""The bytes of a spool: records one after the other, each checked, so that a torn or rotten tail yields the prefix.

A segment is ``MAGIC`` and then records. A record is its length and checksum (CRC-32 of all that follows), its sequence
number, the length of its head, the head (MessagePack) and the body. Sequence numbers rise within a segment. Reading
stops at the first record that is not whole: nothing after it can be told from what a sender wrote into a body.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

MAGIC: Final = b"TJSPOOL1"
_FRAME: Final = struct.Struct("<II")  # bytes after the frame, their CRC-32
_START: Final = struct.Struct("<QI")  # sequence, bytes of the head
_LEAST: Final = _START.size + 1  # a head is never empty, so zeros are no record


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What must be known of a body to make its rows again."""

    kind: str  # a signal's name (the body is OTLP protobuf), or ROWS and a relation (Arrow IPC)
    compression: str  # the body's content encoding; empty: none
    received_ns: int  # UTC
    rows: int
    sender: str
    weight: int = 0  # bytes that its rows take, about; 0: a record of a version that did not say


@dataclass(frozen=True, slots=True)
class Record:
    """One request as it was received, or rows that were made here."""

    head: Head
    body: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A whole record of a segment: where its body lies."""

    sequence: int
    head: Head
    offset: int  # of the body
    nbytes: int  # of the body


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Head)


def packed(record: Record, sequence: int) -> tuple[bytes, bytes]:
    """What is written before the body of ``record``, and the body."""
    head = _ENCODER.encode(record.head)
    start = _START.pack(sequence, len(head)) + head
    checksum = zlib.crc32(record.body, zlib.crc32(start))
    return _FRAME.pack(len(start) + len(record.body), checksum) + start, record.body


def found(segment: bytes) -> Iterator[Found]:
    """The whole records of ``segment`` in order, up to the first that is not whole."""
    if not segment.startswith(MAGIC):
        return
    at, sequence = len(MAGIC), 0
    while (record := _at(segment, at)) is not None and record.sequence > sequence:
        yield record
        at, sequence = record.offset + record.nbytes, record.sequence


def _at(segment: bytes, at: int) -> Found | None:
    if at + _FRAME.size > len(segment):
        return None
    length, checksum = _FRAME.unpack_from(segment, at)
    begin, end = at + _FRAME.size, at + _FRAME.size + length
    if length < _LEAST or end > len(segment) or zlib.crc32(memoryview(segment)[begin:end]) != checksum:
        return None
    sequence, head_length = _START.unpack_from(segment, begin)
    offset = begin + _START.size + head_length
    if offset > end:
        return None
    try:
        head = _DECODER.decode(memoryview(segment)[begin + _START.size : offset])
    except msgspec.DecodeError:
        return None
    return Found(sequence, head, offset, end - offset)
