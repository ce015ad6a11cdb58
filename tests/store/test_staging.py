"""A replacement in pieces: nothing of it is seen before all of it is, and what is never shown is never seen."""

from pathlib import Path

import pytest

from conventions.errors import StoreError
from store import compaction, sealing
from store.calendar import NANOSECONDS_PER_DAY
from store.writing import Store
from tests.store.store_samples import MINUTE_NS, NOON_NS, requests

DAY = NOON_NS // NANOSECONDS_PER_DAY


def piece(bucket: int, count: int, first: int = 0) -> object:
    """Rows of ``bucket`` with ids of their own."""
    rows = requests(bucket, count + first).slice(first)
    return rows.append_column("bucket_ns", [[bucket] * count])


def count(store: Store) -> int:
    return int(store.query("SELECT count(*) AS n FROM requests")["n"][0].as_py())


@pytest.mark.parametrize("before", ["nothing", "open", "closed", "sealed"])
def test_pieces_are_seen_together_and_not_before(store: Store, before: str) -> None:
    if before != "nothing":
        store.replace_buckets({"requests": requests(NOON_NS, 2)}, {"requests": [NOON_NS]})
    if before == "closed":
        assert compaction.close(store, DAY + 1) == [DAY]
    if before == "sealed":
        assert sealing.seal(store, DAY + 1) == [DAY]
    seen = count(store)
    with store.staging() as staging:
        store.stage(staging, "requests", piece(NOON_NS, 3))
        assert count(store) == seen
        store.stage(staging, "requests", piece(NOON_NS, 4, first=3))
        assert count(store) == seen
        store.replace_buckets({}, {"requests": [NOON_NS]}, staging=staging)
    assert count(store) == 7
    compaction.compact(store, min_stale_share=0.0)
    assert count(store) == 7


@pytest.mark.parametrize("put_away", [compaction.compact, lambda store: compaction.close(store, DAY + 1)])
def test_what_is_given_up_is_never_seen(store: Store, tmp_path: Path, put_away: object) -> None:
    store.replace_buckets({"requests": requests(NOON_NS, 2)}, {"requests": [NOON_NS]})
    with store.staging() as staging:
        store.stage(staging, "requests", piece(NOON_NS, 5))
        store.stage(staging, "requests", piece(NOON_NS + MINUTE_NS, 5))
    assert count(store) == 2
    store.replace_buckets({"requests": requests(NOON_NS + 2 * MINUTE_NS, 1)}, {"requests": [NOON_NS + 2 * MINUTE_NS]})
    put_away(store)  # type: ignore[operator]  # one of the two above
    assert count(store) == 3


def test_carried_rows_stay_but_for_those_that_are_named(store: Store) -> None:
    buckets = [NOON_NS, NOON_NS + MINUTE_NS]
    for bucket in buckets:
        store.replace_buckets({"requests": requests(bucket, 4)}, {"requests": [bucket]})
    gone = store.query("SELECT request_id FROM requests ORDER BY request_id LIMIT 3")
    kept = store.query("SELECT * FROM requests ORDER BY request_id OFFSET 3").to_pylist()
    with store.staging() as staging:
        store.carry(staging, "requests", buckets, gone)
        assert count(store) == 8
        store.replace_buckets({}, {"requests": buckets}, staging=staging)
    assert store.query("SELECT * FROM requests ORDER BY request_id").to_pylist() == kept


def test_days_that_were_put_in_order_meanwhile_end_the_staging(store: Store) -> None:
    """What was staged may have gone with the table it lay in; showing the rest would lose it."""
    store.replace_buckets({"requests": requests(NOON_NS, 2)}, {"requests": [NOON_NS]})
    with store.staging() as staging:
        store.stage(staging, "requests", piece(NOON_NS, 3))
        with store.rearranging("test"):
            pass
        with pytest.raises(StoreError, match="put in order meanwhile"):
            store.replace_buckets({}, {"requests": [NOON_NS]}, staging=staging)
    assert count(store) == 2


def test_sums_of_an_hour_are_not_taken_for_current_while_its_rows_are_staged(store: Store) -> None:
    """A roll-up that read before them must be told that they were replaced after what it read."""
    store.replace_buckets({"requests": requests(NOON_NS, 2)}, {"requests": [NOON_NS]})
    with store.staging() as staging:
        store.stage(staging, "requests", piece(NOON_NS, 3))
        read_at = store.generation
        store.replace_buckets(
            {"requests": requests(NOON_NS - 60 * MINUTE_NS, 1)}, {"requests": [NOON_NS - 60 * MINUTE_NS]}
        )
        store.replace_buckets({}, {"requests": [NOON_NS]}, staging=staging)
    assert not store.replace_buckets({}, {"request_hours": [NOON_NS]}, as_of=read_at)
