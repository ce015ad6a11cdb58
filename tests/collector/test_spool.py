"""A spool on a disk that fails: nothing is acknowledged that is not on it, and what is before and after stays whole."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.spool import durable, segments
from collector.spool.records import Head, Record
from collector.spool.segments import Entry, Spool
from conventions.errors import StoreError


def record(body: bytes) -> Record:
    return Record(Head("traces", "", 1, 1, "someone"), body)


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.body() for entry in entries]


def reopened(spool: Spool, folder: Path, after: int = 0) -> Spool:
    spool.close()
    return Spool(folder, after)


def failing(error: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return fail


def written_and(then: Callable[..., Any]) -> Callable[..., Any]:
    """Bytes are written, and not known to be on disk."""

    def write(fd: int, content: bytes, at: int) -> Any:
        os.pwrite(fd, content, at)
        return then()

    return write


def test_a_write_that_takes_only_a_part_keeps_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.append([record(b"before")])
    whole = durable.write
    with monkeypatch.context() as patched:
        patched.setattr(durable, "write", lambda fd, content, at: whole(fd, content[:20], at))
        with pytest.raises(StoreError, match="only a part"):
            spool.append([record(b"lost")])
    after = spool.append([record(b"after")])
    assert after[0].sequence == 3, "a number is never given twice"
    assert bodies(reopened(spool, tmp_path).left) == [b"before", b"after"]


def test_after_a_failed_sync_the_segment_is_written_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(durable, "write", written_and(failing(5)))
        with pytest.raises(StoreError, match="mend the disk"):
            spool.append([record(b"lost")])
    spool.append([record(b"after")])
    assert bodies(reopened(spool, tmp_path).left) == [b"after"]


def test_a_disk_that_cannot_be_cut_either_leaves_a_tail_that_is_not_read_as_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append([record(b"before")])
    with monkeypatch.context() as patched:
        patched.setattr(durable, "write", written_and(failing(5)))
        patched.setattr(os, "ftruncate", failing(5))
        with pytest.raises(StoreError):
            spool.append([record(b"unanswered")])
    assert spool.append([record(b"after")])[0].sequence == 3
    again = reopened(spool, tmp_path)  # at least once: the sender of what is in doubt was told to send again
    assert bodies(again.left) == [b"before", b"unanswered", b"after"]
    assert reopened(again, tmp_path, after=3).left == []


def test_a_segment_goes_when_its_last_record_is_held_and_not_before(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=1)
    for number in range(1, 5):
        spool.append([record(bytes([number]))])
    spool.release(2)
    assert len(list(tmp_path.glob("*.spool"))) == 2
    again = reopened(spool, tmp_path, after=2)
    assert bodies(again.left) == [b"\x03", b"\x04"]
    again.release(4)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_cannot_be_deleted_goes_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.append([record(b"stored")])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing(30))
        spool.release(1)
    again = Spool(tmp_path, after=1)
    assert again.left == []
    again.release(1)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_of_a_segment_is_kept_under_another_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([record(b"good")])
    end = next(tmp_path.glob("*.spool")).stat().st_size
    spool.append([record(b"rotten"), record(b"behind it")])
    spool.close()
    path = next(tmp_path.glob("*.spool"))
    content = bytearray(path.read_bytes())
    content[end + 30] ^= 0xFF
    path.write_bytes(content)
    again = Spool(tmp_path)
    assert bodies(again.left) == [b"good"]
    again.release(1)
    assert [one.suffix for one in tmp_path.iterdir()] == [".unreadable"]


def test_only_the_collectors_user_may_read_what_was_sent(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").append([record(b"a prompt")])
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "spool").iterdir()).stat().st_mode & 0o777 == 0o600


def test_a_segment_made_beforehand_is_written_over_and_read_like_any_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=200)
    spool.prepare()
    spool.prepare()
    assert [one.name for one in tmp_path.iterdir()] == [durable.SPARE]
    spool.append([record(b"first")])
    [path] = tmp_path.glob("*.spool")
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (200, 0o600)
    spool.append([record(b"second" * 40)])  # over its end
    spool.prepare()
    spool.append([record(b"third\0\0")])
    again = reopened(spool, tmp_path)
    assert bodies(again.left) == [b"first", b"second" * 40, b"third\0\0"]
    again.release(3)
    assert list(tmp_path.iterdir()) == []


def test_zeros_with_something_in_them_are_kept_as_unreadable(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=200)
    spool.prepare()
    spool.append([record(b"good")])
    spool.close()
    [path] = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    again = Spool(tmp_path)
    assert bodies(again.left) == [b"good"]
    again.release(1)
    assert [one.suffix for one in tmp_path.iterdir()] == [".unreadable"]


def test_no_segment_is_made_beforehand_where_there_is_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, reserve=10**18)
    spool.prepare()
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_of_a_segment_in_the_making_is_no_segment(tmp_path: Path) -> None:
    (tmp_path / durable.UNFINISHED).write_bytes(bytes(100))
    spool = Spool(tmp_path, segment_bytes=200)
    assert spool.left == []
    spool.prepare()
    assert [(one.name, one.stat().st_size) for one in tmp_path.iterdir()] == [(durable.SPARE, 200)]


def test_bodies_of_several_segments_are_those_of_their_entries(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=120)
    entries = [one for number in range(9) for one in spool.append([record(bytes([number]) * 30), record(b"")])]
    assert len({entry.segment.path for entry in entries}) > 2
    assert segments.bodies(entries) == bodies(entries)
    assert segments.bodies([entries[0], entries[4]]) == [entries[0].body(), entries[4].body()]
    assert segments.bodies([]) == []
