"""The queue is bounded, commits are grouped, and nothing is acknowledged that was not written."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest

from collector.counters import Counters
from collector.pipeline import Pipeline
from collector.settings import QueueSettings
from conventions.errors import Overloaded, StoreError


class Store:
    """Remembers commits; waits while ``gate`` is shut; refuses tables that hold the number 13."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()

    def append_raw(self, tables: dict[str, pa.Table]) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        numbers = tables["spans"].column("n").to_pylist()
        if 13 in numbers:
            raise StoreError("no thirteens")
        if 666 in numbers:
            raise RuntimeError("the writer dies")
        self.commits.append(numbers)


def table(*numbers: int) -> dict[str, pa.Table]:
    return {"spans": pa.table({"n": list(numbers)})}


@contextmanager
def running(store: Store, **limits: int) -> Iterator[Pipeline]:
    pipeline = Pipeline(store, QueueSettings(**limits), Counters())
    yield pipeline
    store.gate.set()
    pipeline.close()


def hold(store: Store, pipeline: Pipeline) -> None:
    """Let the writer enter a commit and stay in it."""
    store.gate.clear()
    pipeline.submit(table(0))
    assert store.entered.wait(10)


def test_what_waits_is_written_in_one_transaction() -> None:
    store = Store()
    with running(store) as pipeline:
        hold(store, pipeline)
        waiting = [pipeline.submit(table(number)) for number in (1, 2, 3)]
        assert not any(one.done() for one in waiting)
        store.gate.set()
        for one in waiting:
            one.result(10)
    assert store.commits == [[0], [1, 2, 3]]


def test_one_commit_takes_a_bounded_number_of_rows() -> None:
    store = Store()
    with running(store, commit_rows=2) as pipeline:
        hold(store, pipeline)
        waiting = [pipeline.submit(table(number)) for number in (1, 2, 3)]
        store.gate.set()
        for one in waiting:
            one.result(10)
    assert store.commits == [[0], [1, 2], [3]]


def test_a_full_queue_refuses_and_takes_again_when_it_has_drained() -> None:
    store = Store()
    with running(store, max_rows=3) as pipeline:
        hold(store, pipeline)
        second = pipeline.submit(table(1, 2))
        with pytest.raises(Overloaded, match="retry in 1 s"):
            pipeline.submit(table(3))
        store.gate.set()
        second.result(10)
        pipeline.submit(table(3)).result(10)


def test_a_write_that_fails_acknowledges_nothing_and_spares_the_others_of_its_group() -> None:
    store = Store()
    with running(store) as pipeline:
        hold(store, pipeline)
        good, bad, other = (pipeline.submit(table(number)) for number in (1, 13, 2))
        store.gate.set()
        assert good.result(10) is None
        assert other.result(10) is None
        with pytest.raises(StoreError, match="thirteens"):
            bad.result(10)
    assert store.commits == [[0], [1], [2]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_forever_for_a_writer_that_died() -> None:
    store = Store()
    with running(store) as pipeline:
        with pytest.raises(StoreError, match="stopped before the commit"):
            pipeline.submit(table(666)).result(10)
        with pytest.raises(Overloaded):
            pipeline.submit(table(1))


def test_closing_commits_what_waits() -> None:
    store = Store()
    pipeline = Pipeline(store, QueueSettings(), Counters())
    waiting = [pipeline.submit(table(number)) for number in range(5)]
    pipeline.close()
    assert all(one.done() for one in waiting)
    assert [number for commit in store.commits for number in commit] == [0, 1, 2, 3, 4]
    assert not pipeline.alive
