"""Whatever becomes of a spool's bytes, what is read is the beginning of what was written; all is stored once."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.spool import records
from collector.spool.records import MAGIC, Head, Record
from collector.spool.segments import Spool

bodies = st.lists(st.binary(max_size=60) | st.just(MAGIC + bytes(24)), min_size=1, max_size=8)


def record(body: bytes) -> Record:
    return Record(Head("traces", "gzip", 1_800_000_000_000_000_000, len(body), "someone"), body)


def segment(written: list[bytes]) -> bytes:
    return MAGIC + b"".join(part for n, body in enumerate(written, 1) for part in records.packed(record(body), n))


def read(content: bytes) -> list[bytes]:
    return [content[one.offset : one.offset + one.nbytes] for one in records.found(content)]


@given(bodies)
def test_what_was_written_is_read(written: list[bytes]) -> None:
    found = list(records.found(segment(written)))
    assert read(segment(written)) == written
    assert [one.head for one in found] == [record(body).head for body in written]


@given(bodies, st.data())
def test_a_torn_tail_yields_the_records_before_it(written: list[bytes], data: st.DataObject) -> None:
    whole = segment(written)
    cut = data.draw(st.integers(0, len(whole)))
    kept = read(whole[:cut])
    assert kept == written[: len(kept)]
    assert sum(map(len, written[: len(kept)])) <= cut
    assert cut < len(whole) or kept == written


@given(bodies, st.data(), st.binary(min_size=1, max_size=40))
def test_rotten_bytes_yield_the_records_before_them(written: list[bytes], data: st.DataObject, rot: bytes) -> None:
    whole = segment(written)
    place = data.draw(st.integers(0, len(whole) - 1))
    rotten = whole[:place] + rot + whole[place + len(rot) :]
    kept = read(rotten)
    assert kept == written[: len(kept)]
    ends = [one.offset + one.nbytes for one in records.found(whole)]
    assert len(kept) >= sum(end <= place for end in ends)


@given(bodies, st.binary(max_size=80))
def test_nothing_after_the_last_record_becomes_a_record(written: list[bytes], rubbish: bytes) -> None:
    assert read(segment(written) + rubbish + bytes(64)) == written


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(bodies, st.sampled_from(["go on", "store", "restart"])), max_size=8), st.integers(1, 300))
def test_over_any_restarts_each_record_is_stored_once_and_in_order(
    steps: list[tuple[list[bytes], str]], segment_bytes: int
) -> None:
    stored: list[bytes] = []
    written: list[bytes] = []
    until = 0
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), until, segment_bytes=segment_bytes)
        waiting = list(spool.left)
        for batch, then in steps:
            waiting += spool.append([record(body) for body in batch])
            written += batch
            if then == "store":
                stored += [entry.body() for entry in waiting]
                until, waiting = waiting[-1].sequence, []
                spool.release(until)
            elif then == "restart":
                spool.close()
                spool = Spool(Path(folder), until, segment_bytes=segment_bytes)
                waiting = list(spool.left)
        stored += [entry.body() for entry in waiting]
        spool.close()
    assert stored == written
