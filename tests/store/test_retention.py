"""Whole days are forgotten, the oldest first; what is left reads as before."""

import pytest

from store import retention, sealing
from store.writing import Store
from tests.store.store_samples import DAY_NS, NOON_NS, spans
from tests.store.test_sealing import DAY, fill, seen


@pytest.mark.parametrize("sealed_before", [DAY, DAY + 2, DAY + 3])
def test_days_beyond_their_age_are_gone_from_every_relation(store: Store, sealed_before: int) -> None:
    fill(store, days=4)
    younger = [row for row in seen(store) if row["day"] in (DAY + 2, DAY + 3)]
    sealing.seal(store, sealed_before)
    assert retention.expire(store, DAY + 2) == [DAY, DAY + 1]
    assert seen(store) == younger
    assert retention.kept_days(store) == [DAY + 2, DAY + 3]
    assert retention.expire(store, DAY + 2) == []


def test_a_forgotten_day_may_come_back(store: Store) -> None:
    fill(store, days=1)
    sealing.seal(store, DAY + 1)
    retention.expire(store, DAY + 1)
    assert seen(store) == []
    fill(store, days=1)
    assert sealing.seal(store, DAY + 1) == [DAY]
    assert len(seen(store)) == 2


def test_files_of_forgotten_days_stay_for_running_queries_until_swept(store: Store) -> None:
    fill(store)
    sealing.seal(store, DAY + 2)
    retention.expire(store, DAY + 1)
    assert len(list(store.archive.rglob("*.parquet"))) == 4
    assert retention.sweep(store) == 2
    assert len(list(store.archive.rglob("*.parquet"))) == 2
    assert [path.name for path in store.archive.iterdir()] == ["day=2024-10-05"]


def test_a_store_over_its_size_forgets_oldest_days_until_it_fits(store: Store) -> None:
    for day in range(5):
        store.append_raw({"spans": spans(*(NOON_NS + day * DAY_NS + number for number in range(20_000)))})
    sealing.seal(store, DAY + 3)
    store.checkpoint()
    whole = retention.size(store)
    assert retention.shrink(store, whole, DAY + 4) == []
    assert retention.shrink(store, whole - 1, DAY + 4) == [DAY]
    assert retention.size(store) < whole
    assert retention.shrink(store, 0, DAY + 4) == [DAY + 1, DAY + 2, DAY + 3], "the newest day is never forgotten"
    assert store.query("FROM spans").num_rows == 20_000
