"""A backup is one moment of a running store; a restored one reads the same and can be written."""

import threading
from pathlib import Path

import pytest

from conventions.errors import StoreError
from store import backup, reading, sealing
from store.writing import Store
from tests.store.store_samples import DAY_NS, NOON_NS, spans
from tests.store.test_sealing import DAY, fill, seen


def test_a_backup_reads_the_same_and_is_restored(store: Store, tmp_path: Path) -> None:
    fill(store)
    sealing.seal(store, DAY + 2)
    size = backup.backup(store, tmp_path / "backup")
    before = seen(store)
    store.append_raw({"spans": spans(NOON_NS)})
    with reading.open(f"duckdb://{tmp_path}/backup") as reader:
        assert seen(reader) == before
        assert reader.query("SELECT ratio(1, 2) AS half")["half"].to_pylist() == [0.5]
    assert backup.restore(tmp_path / "backup", tmp_path / "restored") == size
    with Store.open(tmp_path / "restored") as restored:
        assert seen(restored) == before
        restored.append_raw({"spans": spans(NOON_NS + DAY_NS)})
        sealing.seal(restored, DAY + 3)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "backup", "restored"}


def test_a_backup_while_rows_arrive_is_one_moment(store: Store, tmp_path: Path) -> None:
    fill(store)
    done = threading.Event()

    def append() -> None:
        while not done.is_set():
            store.append_raw({"spans": spans(NOON_NS + 5 * DAY_NS, NOON_NS + 6 * DAY_NS)})

    writer = threading.Thread(target=append)
    writer.start()
    for number in range(3):
        backup.backup(store, tmp_path / f"backup{number}")
    done.set()
    writer.join()
    for number in range(3):
        with reading.open(f"duckdb://{tmp_path}/backup{number}") as reader:
            days = [row["n"] for row in seen(reader) if row["relation"] == "spans" and row["day"] not in range(DAY + 3)]
        assert len(set(days)) <= 1, "a transaction over two days is in it whole or not at all"


def test_nothing_is_overwritten(store: Store, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    with pytest.raises(StoreError, match="not empty: name a new folder"):
        backup.backup(store, tmp_path / "taken")
    backup.backup(store, tmp_path / "backup")
    with pytest.raises(StoreError, match="not empty: name a new folder"):
        backup.restore(tmp_path / "backup", tmp_path / "taken")
    with pytest.raises(StoreError, match="no backup in"):
        backup.restore(tmp_path / "taken", tmp_path / "new")


def test_required_columns_stay_required(store: Store, tmp_path: Path) -> None:
    fill(store)
    backup.backup(store, tmp_path / "backup")
    with Store.open(tmp_path / "backup") as copy:
        required = "SELECT count(*) AS n FROM duckdb_columns() WHERE NOT is_nullable"
        assert copy.query(required) == store.query(required)
