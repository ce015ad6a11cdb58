"""What is acknowledged is on disk, and is stored once, in order, in large transactions, whatever fails on the way."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from collector.counters import Counters
from collector.ingesting import storing
from collector.ingesting.pipeline import Pipeline
from collector.settings import QueueSettings
from collector.spool.records import Head, Record
from collector.spool.segments import Entry, Spool
from conventions.errors import Overloaded, RowsRefused, StoreError


class Store:
    """Remembers commits; waits while ``gate`` is shut; will not have 13, fails at 7 while full, dies of 666."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()
        self.is_full = False
        self.spooled_until = 0
        self.held_until = 0

    def append_spooled(self, tables: Mapping[str, pa.Table], sequence: int) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        numbers = tables["spans"].column("n").to_pylist() if tables else []
        if 13 in numbers:
            raise RowsRefused("no thirteens")
        if self.is_full:
            raise StoreError("the disk is full")
        if 666 in numbers:
            raise RuntimeError("the writer dies")
        assert sequence > self.spooled_until
        self.spooled_until = sequence
        self.commits.append(numbers)

    def checkpoint(self) -> bool:
        self.held_until = self.spooled_until
        return True

    @property
    def numbers(self) -> list[int]:
        return [number for commit in self.commits for number in commit]


def record(*numbers: int, sender: str = "one") -> Record:
    return Record(Head("numbers", "", 1, len(numbers), sender), json.dumps(numbers).encode())


def tables(entries: Sequence[Entry]) -> dict[str, pa.Table]:
    numbers = [number for entry in entries for number in json.loads(entry.body())]
    if 99 in numbers:
        raise ValueError("no dialect survives 99")
    return {"spans": pa.table({"n": numbers})}


@contextmanager
def running(store: Store, folder: Path, **limits: int) -> Iterator[Pipeline]:
    spool = Spool(folder / "spool", store.spooled_until)
    pipeline = Pipeline(store, spool, tables, QueueSettings(**limits), Counters())
    yield pipeline
    store.gate.set()
    pipeline.close()


def hold(store: Store, pipeline: Pipeline, sender: str = "one") -> None:
    """Let the writer enter a commit and stay in it."""
    store.gate.clear()
    pipeline.submit(record(0, sender=sender)).result(10)
    assert store.entered.wait(10)


def until(holds: Callable[[], object]) -> None:
    end_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_waits_is_acknowledged_and_written_in_few_transactions(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        hold(store, pipeline)
        for number in range(100, 200):
            pipeline.submit(record(number)).result(10)
        assert store.commits == []
        store.gate.set()
        pipeline.caught_up().result(10)
    assert store.numbers == [0, *range(100, 200)]
    assert len(store.commits) <= 4


def test_who_waits_for_a_commit_under_way_hurries_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each request that comes meanwhile would be a transaction of its own, for as long as somebody asks."""
    monkeypatch.setattr(storing, "LINGER_S", 60.0)
    store = Store()
    with running(store, tmp_path) as pipeline:
        store.gate.clear()
        pipeline.submit(record(0)).result(10)
        waiting = pipeline.caught_up()
        assert store.entered.wait(10)
        for number in range(100, 130):
            pipeline.submit(record(number)).result(10)
        store.gate.set()
        waiting.result(10)
        pipeline.caught_up().result(10)
    assert store.commits == [[0], list(range(100, 130))]


def test_who_is_content_without_the_newest_waits_for_what_is_older(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        hold(store, pipeline)
        pipeline.caught_up(3600.0).result(10)
        until(lambda: not pipeline.caught_up(0.001).done())
        waiting = pipeline.caught_up(0.001)
        store.gate.set()
        waiting.result(10)
        assert store.numbers == [0]


def test_one_commit_takes_a_bounded_number_of_rows(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path, commit_rows=2) as pipeline:
        hold(store, pipeline)
        for number in (1, 2, 3, 4, 5):
            pipeline.submit(record(number)).result(10)
    assert max(map(len, store.commits)) == 2
    assert store.numbers == list(range(6))


def test_a_full_queue_refuses_and_takes_again_when_it_has_drained(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path, max_rows=3) as pipeline:
        hold(store, pipeline)
        pipeline.submit(record(1, 2)).result(10)
        with pytest.raises(Overloaded, match="retry in 1 s"):
            pipeline.submit(record(3))
        store.gate.set()
        pipeline.caught_up().result(10)
        pipeline.submit(record(3)).result(10)
    assert store.numbers == [0, 1, 2, 3]


def test_rows_that_the_store_will_never_take_are_kept_aside_and_spare_the_others(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        hold(store, pipeline)
        for number in (1, 13, 2, 99, 3):
            pipeline.submit(record(number)).result(10)
        store.gate.set()
        pipeline.caught_up().result(10)
    assert store.numbers == [0, 1, 2, 3]
    aside = sorted((tmp_path / "spool").glob("*.refused"))
    assert [b"[13]" in aside[0].read_bytes(), b"[99]" in aside[1].read_bytes()] == [True, True]


def test_a_store_that_takes_nothing_for_a_while_loses_nothing_and_says_so(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        store.is_full = True
        pipeline.submit(record(1)).result(10)
        until(lambda: pipeline.trouble)
        with pytest.raises(StoreError, match="the disk is full"):
            pipeline.caught_up().result(10)
        pipeline.submit(record(2)).result(10)
        store.is_full = False
        until(lambda: not pipeline.trouble)
        pipeline.caught_up().result(10)
        assert store.numbers == [1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_writer_shows_and_acknowledges_no_more_than_the_bound(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path, max_rows=3) as pipeline:
        pipeline.submit(record(666)).result(10)
        until(lambda: not pipeline.alive)
        with pytest.raises(StoreError, match="restart the collector"):
            pipeline.caught_up().result(10)
        pipeline.submit(record(1, 2)).result(10)
        with pytest.raises(Overloaded):
            pipeline.submit(record(3))


def test_who_stops_waiting_ends_nothing(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        hold(store, pipeline)
        pipeline.submit(record(1)).cancel()
        pipeline.caught_up().cancel()
        store.gate.set()
        pipeline.submit(record(2)).result(10)
        pipeline.caught_up().result(10)
        assert pipeline.alive
    assert store.numbers == [0, 1, 2]


def test_a_small_body_of_large_rows_counts_as_what_its_rows_take(tmp_path: Path) -> None:
    store = Store()
    store.gate.clear()
    with running(store, tmp_path, max_mb=1) as pipeline:
        large = Record(Head("numbers", "", 1, 1, "one", 600_000), b"[1]")
        pipeline.submit(large).result(10)
        with pytest.raises(Overloaded, match="600000 bytes wait"):
            pipeline.submit(large)
        store.gate.set()
        pipeline.caught_up().result(10)
        pipeline.submit(large).result(10)
    assert store.numbers == [1, 1]


def test_closing_stores_what_waits_and_leaves_no_segment(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        for number in range(5):
            pipeline.submit(record(number)).result(10)
    assert store.numbers == [0, 1, 2, 3, 4]
    assert not pipeline.alive
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_was_acknowledged_and_not_stored_is_stored_once_after_a_restart(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path) as pipeline:
        pipeline.submit(record(1)).result(10)
        pipeline.caught_up().result(10)
        store.is_full = True
        for number in (2, 3):
            pipeline.submit(record(number)).result(10)
    assert store.numbers == [1]
    store.is_full = False
    with running(store, tmp_path) as pipeline:
        pipeline.caught_up().result(10)
        assert store.numbers == [1, 2, 3]
        pipeline.submit(record(4)).result(10)
    assert store.numbers == [1, 2, 3, 4]


def test_who_floods_is_refused_and_a_small_sender_is_not(tmp_path: Path) -> None:
    store = Store()
    with running(store, tmp_path, max_rows=100) as pipeline:
        hold(store, pipeline, "flood")
        for number in range(200, 299):
            pipeline.submit(record(number, sender="flood")).result(10)
        with pytest.raises(Overloaded, match="100 rows wait"):
            pipeline.submit(record(1, sender="flood"))
        for number in range(1000, 1010):
            pipeline.submit(record(number, sender="small")).result(10)
        with pytest.raises(Overloaded, match="are of flood"):
            pipeline.submit(record(1, sender="flood"))
    assert set(range(1000, 1010)) <= set(store.numbers)
