"""A settled bucket holds what its newest generation wrote, and readers see it whole or not at all."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions.errors import StoreError
from store import compaction, schemas
from store.writing import Store
from tests.store.store_samples import MINUTE_NS, NOON_NS, requests

examples = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("law")) as opened:
        yield opened


def seen(store: Store, first_ns: int, last_ns: int) -> dict[int, int]:
    rows = store.query(
        "SELECT epoch_ns(bucket(started_at, 60)) AS bucket_ns, count(*) AS n FROM requests"
        " WHERE epoch_ns(started_at) BETWEEN $first AND $last GROUP BY ALL",
        {"first": first_ns, "last": last_ns},
    ).to_pylist()
    return {row["bucket_ns"]: row["n"] for row in rows}


@settings(max_examples=20, deadline=None)
@given(
    writes=st.lists(
        st.tuples(st.dictionaries(st.integers(0, 4), st.integers(0, 3), min_size=1), st.booleans()), max_size=5
    )
)
def test_the_view_equals_the_last_write_of_each_bucket(
    shared: Store, writes: list[tuple[dict[int, int], bool]]
) -> None:
    origin = NOON_NS + next(examples) * 1000 * MINUTE_NS
    expected: dict[int, int] = {}
    for counts, compacted in writes:
        buckets = {origin + minute * MINUTE_NS: count for minute, count in counts.items()}
        rows = pa.concat_tables([requests(bucket, count) for bucket, count in buckets.items()])
        shared.replace_buckets({"requests": rows}, {"requests": list(buckets)})
        expected |= buckets
        if compacted:
            compaction.compact(shared, min_stale_share=0.0)
    assert seen(shared, origin, origin + 999 * MINUTE_NS) == {key: count for key, count in expected.items() if count}


def test_a_listed_bucket_without_rows_becomes_empty(store: Store) -> None:
    store.replace_buckets({"requests": requests(NOON_NS, 3)}, {"requests": [NOON_NS]})
    store.replace_buckets({}, {"requests": [NOON_NS]})
    assert store.query("SELECT * FROM requests").num_rows == 0


def test_public_views_have_no_bookkeeping_columns(store: Store) -> None:
    assert store.query("SELECT * FROM requests").schema.names == schemas.arrow("requests").names


def test_rows_of_a_bucket_that_is_not_listed_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="not being replaced"):
        store.replace_buckets({"requests": requests(NOON_NS, 1)}, {"requests": [NOON_NS + MINUTE_NS]})


def test_attempts_follow_the_bucket_of_their_request_when_it_is_given(store: Store) -> None:
    attempt = {
        "request_id": "r",
        "attempt": 1,
        "outcome": "answered",
        "started_at": requests(NOON_NS + MINUTE_NS, 1)["started_at"][0],
        "ended_at": requests(NOON_NS + MINUTE_NS, 1)["ended_at"][0],
    }
    rows = pa.Table.from_pylist([attempt], schema=schemas.arrow("attempts"))
    rows = rows.append_column("bucket_ns", pa.array([NOON_NS], pa.int64()))
    store.replace_buckets({"attempts": rows}, {"attempts": [NOON_NS]})
    assert store.query("SELECT request_id FROM attempts").num_rows == 1
    store.replace_buckets({}, {"attempts": [NOON_NS]})
    assert store.query("SELECT request_id FROM attempts").num_rows == 0


def test_relations_replaced_together_change_together_or_not_at_all(store: Store) -> None:
    store.replace_buckets({"requests": requests(NOON_NS, 2)}, {"requests": [NOON_NS]})
    broken = pa.table({"request_id": ["r"], "attempt": [1], "bucket_ns": [NOON_NS]})
    with pytest.raises(StoreError):
        store.replace_buckets(
            {"requests": requests(NOON_NS, 5), "attempts": broken}, {"requests": [NOON_NS], "attempts": [NOON_NS]}
        )
    assert store.query("SELECT * FROM requests").num_rows == 2


def test_readers_never_see_half_of_a_bucket(store: Store) -> None:
    store.replace_buckets({"requests": requests(NOON_NS, 500, "v0")}, {"requests": [NOON_NS]})
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            state = store.query("SELECT count(*) AS n, count(DISTINCT tenant) AS versions FROM requests").to_pylist()
            if state != [{"n": 500, "versions": 1}]:
                wrong.append(state)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(20):
        store.replace_buckets({"requests": requests(NOON_NS, 500, f"v{version}")}, {"requests": [NOON_NS]})
        compaction.compact(store, min_stale_share=0.8)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_compaction_drops_only_what_nobody_sees(store: Store, tmp_path: Path) -> None:
    for count in (4, 3, 2):
        store.replace_buckets({"requests": requests(NOON_NS, count)}, {"requests": [NOON_NS]})
    assert compaction.compact(store) == ["requests"]
    assert store.query("SELECT * FROM requests_20241004").num_rows == 2
    assert store.query("SELECT * FROM manifest").num_rows == 1
    assert compaction.compact(store) == []
    store.replace_buckets({"requests": requests(NOON_NS, 1)}, {"requests": [NOON_NS]})
    store.close()
    with Store.open(tmp_path / "data") as reopened:
        assert reopened.query("SELECT * FROM requests").num_rows == 1
