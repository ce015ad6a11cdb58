"""A folder of segments: records appended by one thread and forced to disk together, read by any, deleted when told.

A segment is never appended to after a restart; behind its last record it may have zeros, which it was made of. Files
are for this user only: bodies are kept as they were sent.
"""

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from collector.spool import durable, records
from collector.spool.records import MAGIC, Found, Head, Record
from conventions.errors import StoreError
from store import disk, space

_log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 16_000_000
SPOOL: Final = "spool"  # the folder, in the data folder
SUFFIX: Final = ".spool"


@dataclass(slots=True, eq=False)
class Segment:
    """One file, open for reading until it is deleted."""

    path: Path
    fd: int
    nbytes: int  # of whole records
    last: int = 0  # highest sequence number in it
    began_s: float = field(default_factory=time.monotonic)
    rotten: bool = False  # it holds more than its whole records

    def read(self, offset: int, nbytes: int) -> bytes:
        """So many of its bytes. Raises ``StoreError``."""
        try:
            found = os.pread(self.fd, nbytes, offset)
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error}") from error
        if len(found) != nbytes:
            raise StoreError(f"{self.path} is shorter than it was")
        return found


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that is on disk."""

    found: Found
    segment: Segment

    @property
    def sequence(self) -> int:
        """Its place among all records ever spooled here."""
        return self.found.sequence

    @property
    def head(self) -> Head:
        """What is known of its body."""
        return self.found.head

    def body(self) -> bytes:
        """Its body as it was appended. Raises ``StoreError``."""
        return self.segment.read(self.found.offset, self.found.nbytes)


def bodies(entries: Sequence[Entry]) -> list[bytes]:
    """Their bodies; neighbours are read together. Raises ``StoreError``."""
    read: list[bytes] = []
    for segment, group in groupby(entries, lambda one: one.segment):
        found = [one.found for one in group]
        begin = found[0].offset
        whole = segment.read(begin, found[-1].offset + found[-1].nbytes - begin)
        read += [whole[one.offset - begin : one.offset - begin + one.nbytes] for one in found]
    return read


class Spool:
    """The segments of ``folder``; ``after`` is the highest sequence number that the store holds.

    ``left`` are the records that it does not hold yet; ``reserve`` bytes of the disk stay free. Methods may be called
    from any thread. Raises ``StoreError`` when the folder cannot be made or read.
    """

    def __init__(self, folder: Path, after: int = 0, *, reserve: int = 0, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self.reserve = reserve
        self._segment_bytes = segment_bytes
        self._current: Segment | None = None
        self._closed: list[Segment] = []
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            whole = [entry for path in sorted(folder.glob(f"*{SUFFIX}")) for entry in self._recover(path)]
        except OSError as error:
            raise StoreError(f"cannot read the spool {folder}: {error}") from error
        self._next = max([after, *(segment.last for segment in self._closed)]) + 1
        self.left = [entry for entry in whole if entry.sequence > after]

    def append(self, batch: Sequence[Record]) -> list[Entry]:
        """``batch`` on disk, whatever happens next. Raises ``StoreError``, keeping nothing of it."""
        space.require(self._folder, self.reserve)
        try:
            with self._lock:
                return self._write(self._open_segment(), batch)
        except OSError as error:
            raise StoreError(f"cannot write the spool {self._folder}: {error}; make room or mend the disk") from error

    def set_aside(self, entry: Entry) -> None:
        """Keep ``entry`` in a file of its own, which nothing deletes. Raises ``StoreError``."""
        space.require(self._folder, self.reserve)
        path = self._folder / f"{entry.sequence:020d}.refused"
        try:
            with path.open("wb") as file:
                file.write(MAGIC + b"".join(records.packed(Record(entry.head, entry.body()), entry.sequence)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error}; make room or mend the disk") from error
        _log.error("record %d is kept as %s", entry.sequence, path)

    def prepare(self) -> None:
        """Make the next segment's file beforehand. For one thread."""
        try:
            durable.make_spare(self._folder, MAGIC, self._segment_bytes, self.reserve)
        except OSError as error:
            _log.debug("segments are made when they are needed: %s", error)

    def release(self, sequence: int) -> None:
        """Delete segments of which every record is at most ``sequence``; a rotten one is kept under another name."""
        with self._lock:
            if self._current is not None and 0 < self._current.last <= sequence:
                self._closed.append(self._current)
                self._current = None
            done = [segment for segment in self._closed if segment.last <= sequence]
            self._closed = [segment for segment in self._closed if segment.last > sequence]
        for segment in done:
            os.close(segment.fd)
            try:
                if segment.rotten:
                    segment.path.rename(segment.path.with_suffix(".unreadable"))
                else:
                    segment.path.unlink(missing_ok=True)
            except OSError as error:  # it is needless, and found again at the next start
                _log.error("%s stays where it is: %s", segment.path, error)

    @property
    def oldest_s(self) -> float:
        """When the oldest segment that is there was begun, in seconds of the monotonic clock; now without any."""
        with self._lock:
            return min((segment.began_s for segment in self._all()), default=time.monotonic())

    def close(self) -> None:
        """Close all files; those with records stay."""
        with self._lock:
            for segment in self._all():
                os.close(segment.fd)
            self._closed, self._current = [], None
        durable.leave_no_spare(self._folder)

    def _all(self) -> list[Segment]:
        return [*self._closed, *([self._current] if self._current is not None else [])]

    def _recover(self, path: Path) -> list[Entry]:
        content = path.read_bytes()
        whole = list(records.found(content))
        end = whole[-1].offset + whole[-1].nbytes if whole else len(MAGIC)
        segment = Segment(path, os.open(path, os.O_RDONLY), end, whole[-1].sequence if whole else 0)
        if content[end:].strip(b"\0"):
            segment.rotten = True
            _log.warning("%s: read to byte %d of %d, where the last whole record ends", path, end, len(content))
        self._closed.append(segment)
        return [Entry(one, segment) for one in whole]

    def _open_segment(self) -> Segment:
        current = self._current
        if current is not None and current.nbytes < self._segment_bytes:
            return current
        path = self._folder / f"{self._next:020d}{SUFFIX}"
        fd = durable.take_spare(self._folder, path)
        if fd is None:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            durable.write(fd, MAGIC, 0)
        disk.sync(self._folder)
        if current is not None:
            self._closed.append(current)
        self._current = Segment(path, fd, len(MAGIC))
        return self._current

    def _write(self, segment: Segment, batch: Sequence[Record]) -> list[Entry]:
        entries, parts, at = [], [], segment.nbytes
        for sequence, record in enumerate(batch, self._next):
            before, body = records.packed(record, sequence)
            entries.append(Entry(Found(sequence, record.head, at + len(before), len(body)), segment))
            parts += [before, body]
            at += len(before) + len(body)
        self._next += len(batch)  # numbers are never given twice, whatever becomes of these bytes
        try:
            if durable.write(segment.fd, b"".join(parts), segment.nbytes) != at - segment.nbytes:
                raise OSError("the disk took only a part")
        except OSError:
            self._give_up(segment)
            raise
        segment.nbytes, segment.last = at, entries[-1].sequence
        return entries

    def _give_up(self, segment: Segment) -> None:
        """After a failed write or sync what is on disk is not known: the next record goes to another file."""
        self._current = None
        if segment.last:
            self._closed.append(segment)
        try:
            os.ftruncate(segment.fd, segment.nbytes)
        except OSError:
            segment.rotten = True
        if not segment.last:
            os.close(segment.fd)
            segment.path.unlink(missing_ok=True)
