"""Older files are brought forward when they are opened."""

from pathlib import Path

import pytest

from store import versions
from store.writing import Store
from tests.store.store_samples import NOON_NS, requests, spans


def test_numbered_files_after_the_files_version_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path).close()
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_before.sql").write_text("SELECT error('already applied')")
    (folder / "0002_after.sql").write_text("INSERT INTO manifest VALUES ('requests', 0, 1)")
    monkeypatch.setattr(versions, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(versions, "MIGRATIONS", folder)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.query("SELECT * FROM manifest").num_rows == 1
            assert store.query("SELECT max(version) AS v FROM schema_version")["v"][0].as_py() == 2


def test_a_column_a_table_gained_is_added_to_old_files(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.replace_buckets({"requests": requests(NOON_NS, 1)}, {"requests": [NOON_NS]})
        store.query("ALTER TABLE requests_rows DROP COLUMN currency")
    with Store.open(tmp_path) as store:
        assert store.query("SELECT currency FROM requests")["currency"].to_pylist() == [None]
        store.append_raw({"spans": spans(NOON_NS)})
