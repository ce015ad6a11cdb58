"""Raw rows lie in tables by UTC day of arrival, and readers see them as one relation."""

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from conventions.errors import StoreError
from store.writing import Store
from tests.store.store_samples import DAY_NS, NOON_NS, spans

MIDNIGHT_NS = 20_000 * DAY_NS


def count(store: Store, relation: str = "spans") -> int:
    return int(store.query(f"SELECT count(*) AS n FROM {relation}")["n"][0].as_py())


def test_views_exist_before_the_first_row(store: Store) -> None:
    assert count(store, "spans") == 0
    assert count(store, "metric_points") == 0


def test_rows_on_both_sides_of_midnight_go_to_two_tables_and_one_view(store: Store) -> None:
    store.append_raw({"spans": spans(MIDNIGHT_NS - 1, MIDNIGHT_NS, MIDNIGHT_NS + 1)})
    assert count(store, "spans_20241003") == 1
    assert count(store, "spans_20241004") == 2
    assert count(store) == 3


def test_days_are_found_again_after_reopening(tmp_path: Path) -> None:
    for day in range(3):
        with Store.open(tmp_path) as store:
            store.append_raw({"spans": spans(NOON_NS + day * DAY_NS)})
    with Store.open(tmp_path) as store:
        assert count(store) == 3


def test_maps_and_lists_come_back_as_they_went_in(store: Store) -> None:
    store.append_raw({"spans": spans(NOON_NS)})
    row = store.query("SELECT itl_s, attributes FROM spans").to_pylist()[0]
    assert row == {"itl_s": [0.01, 0.02], "attributes": [("k", "v")]}


def test_an_empty_table_is_nothing_to_write(store: Store) -> None:
    store.append_raw({"spans": spans()})
    assert count(store) == 0


def test_a_row_that_breaks_the_contract_keeps_nothing_of_its_transaction(store: Store) -> None:
    good = spans(NOON_NS)
    bad = good.set_column(1, "trace_id", pa.array([None], pa.string()))
    with pytest.raises(StoreError, match="trace_id"):
        store.append_raw({"spans": pa.concat_tables([good, bad])})
    assert count(store) == 0
    store.append_raw({"spans": good})
    assert count(store) == 1


def test_a_column_the_contract_does_not_have_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="surprise"):
        store.append_raw({"spans": spans(NOON_NS).append_column("surprise", pa.array([1]))})


def test_an_unknown_relation_is_refused_with_the_choices(store: Store) -> None:
    with pytest.raises(StoreError, match="did you mean 'spans'"):
        store.append_raw({"span": spans(NOON_NS)})


def test_a_day_written_before_a_column_existed_reads_it_as_null(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.append_raw({"spans": spans(NOON_NS)})
        store.query("ALTER TABLE spans_20241004 DROP COLUMN currency")
    with Store.open(tmp_path) as store:
        assert store.query("SELECT currency FROM spans")["currency"].to_pylist() == [None]
        store.append_raw({"spans": spans(NOON_NS)})
        assert count(store) == 2


def test_sums_and_fractions_come_back_as_plain_numbers(store: Store) -> None:
    store.append_raw({"spans": spans(NOON_NS, NOON_NS)})
    table = store.query("SELECT sum(end_ns - start_ns) AS total, 0.5 AS half FROM spans")
    assert table.schema.field("total").type == pa.int64()
    assert table.to_pylist() == [{"total": 2_000_000, "half": 0.5}]


def test_many_threads_write_and_read_at_once(store: Store) -> None:
    seen: list[int] = []

    def work() -> None:
        for _ in range(5):
            store.append_raw({"spans": spans(NOON_NS, NOON_NS + DAY_NS)})
            seen.append(count(store))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 20
    assert all(number % 2 == 0 for number in seen), "a transaction over two days is seen whole"
    assert count(store) == 40
