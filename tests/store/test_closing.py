"""A day that ended is closed: its rows are read without the manifest, and a late row opens it again."""

from pathlib import Path

import pyarrow as pa
import pytest

from store import compaction, sealing
from store.writing import Store
from tests.store.store_samples import DAY_NS, MINUTE_NS, NOON_NS, requests

DAY = NOON_NS // DAY_NS
BUCKETS = [NOON_NS + minute * MINUTE_NS for minute in range(3)]


def fill(store: Store, day: int = 0) -> None:
    """Three minutes of five requests, each settled twice, the later minutes first."""
    for count in (9, 5):
        for bucket in reversed(BUCKETS):
            late = bucket + day * DAY_NS
            store.replace_buckets({"requests": requests(late, count)}, {"requests": [late]})


def tenants(store: Store) -> list[str]:
    found: list[str] = store.query("SELECT tenant FROM requests ORDER BY started_at")["tenant"].to_pylist()
    return found


def test_a_closed_day_reads_the_same_lies_in_order_and_leaves_the_manifest(store: Store) -> None:
    fill(store)
    fill(store, day=1)
    before = store.query("FROM requests_bucketed ORDER BY ALL")
    assert compaction.close(store, DAY + 1) == [DAY]
    assert store.query("FROM requests_bucketed ORDER BY ALL").equals(before)
    moments = store.query("SELECT started_at FROM requests_20241004")["started_at"].to_pylist()
    assert moments == sorted(moments)
    assert len(moments) == 15, "stale rows are gone"
    assert store.query("SELECT min(bucket_ns) // 86400000000000 AS day FROM manifest")["day"].to_pylist() == [DAY + 1]
    assert compaction.close(store, DAY + 1) == []


def test_a_late_row_opens_its_day_and_it_is_closed_again(store: Store, tmp_path: Path) -> None:
    fill(store)
    compaction.close(store, DAY + 1)
    store.close()
    with Store.open(tmp_path / "data") as again:
        again.replace_buckets({"requests": requests(NOON_NS, 2, "late")}, {"requests": [NOON_NS]})
        again.replace_buckets({}, {"requests": [NOON_NS + MINUTE_NS]})
        expected = ["late"] * 2 + ["acme"] * 5
        assert tenants(again) == expected
        assert compaction.close(again, DAY + 1) == [DAY]
        assert tenants(again) == expected


def test_generations_go_on_from_a_closed_day(tmp_path: Path) -> None:
    """Nothing in the manifest tells how far they were."""
    with Store.open(tmp_path) as store:
        fill(store)
        compaction.close(store, DAY + 1)
    with Store.open(tmp_path) as store:
        for count in (4, 3):
            store.replace_buckets({"requests": requests(NOON_NS, count)}, {"requests": [NOON_NS]})
        assert len(tenants(store)) == 3 + 5 + 5


def test_a_closed_day_is_sealed_and_settled_again(store: Store) -> None:
    fill(store)
    compaction.close(store, DAY + 1)
    assert sealing.seal(store, DAY + 1) == [DAY]
    assert tenants(store) == ["acme"] * 15
    store.replace_buckets({"requests": requests(NOON_NS, 1, "late")}, {"requests": [NOON_NS]})
    assert compaction.close(store, DAY + 1) == [], "its buckets override archived ones"
    assert tenants(store) == ["late"] + ["acme"] * 10


def test_what_is_settled_while_a_day_is_rewritten_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    arranging = Store.rearranging

    def settle_first(own: Store, doing: str) -> object:
        if doing.startswith("put "):
            own.replace_buckets({"requests": requests(NOON_NS, 2, "late")}, {"requests": [NOON_NS]})
        return arranging(own, doing)

    monkeypatch.setattr(Store, "rearranging", settle_first)
    assert compaction.compact(store, min_stale_share=0.3) == ["requests"]
    assert tenants(store) == ["late"] * 2 + ["acme"] * 10
    assert compaction.close(store, DAY + 1) == [], "it is being settled just now"
    monkeypatch.undo()
    assert compaction.close(store, DAY + 1) == [DAY]
    assert tenants(store) == ["late"] * 2 + ["acme"] * 10


def test_a_copy_that_an_interruption_left_is_dropped(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        store.query("CREATE TABLE requests_20241004_fresh AS FROM requests_20241004")
    with Store.open(tmp_path) as store:
        names = store.query("SELECT table_name FROM duckdb_tables()")["table_name"].to_pylist()
        assert "requests_20241004_fresh" not in names
        assert len(tenants(store)) == 15


def test_a_day_without_slots_of_energy_stays_open(store: Store) -> None:
    """The manifest is what says that its minutes must be summed from the finest grain."""
    row = {
        "device": "GPU-0", "started_at": requests(NOON_NS, 1)["started_at"][0].as_py(),
        "ended_at": requests(NOON_NS, 1)["ended_at"][0].as_py(), "total_j": 1.0, "attributed_j": 0.0, "idle_j": 1.0,
        "unattributed_j": 0.0, "method": "none", "quality": "measured",
    }  # fmt: skip
    table = pa.Table.from_pylist([row])
    store.replace_buckets({"energy_intervals": table}, {"energy_intervals": [NOON_NS]})
    assert compaction.close(store, DAY + 1) == []
    store.replace_buckets({}, {"energy_spent": [NOON_NS]})
    assert compaction.close(store, DAY + 1) == [DAY]
