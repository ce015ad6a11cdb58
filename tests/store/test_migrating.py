"""Older files are brought forward when they are opened."""

import tarfile
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from analytics import metric
from analytics.hours.building import roll_up
from analytics.metric import Window
from dashboard import sample
from store import definitions, reading, versions
from store.connection import database_file
from store.writing import Store
from tests.store.store_samples import DAY_NS, MINUTE_NS, NOON_NS, requests, spans

VERSION_3 = Path(__file__).parent / "files" / "version_3.tar.xz"


def test_numbered_files_after_the_files_version_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path).close()
    folder = tmp_path / "migrations"
    folder.mkdir()
    known = versions.SCHEMA_VERSION
    (folder / f"{known:04}_before.sql").write_text("SELECT error('already applied')")
    (folder / f"{known + 1:04}_after.sql").write_text("INSERT INTO manifest VALUES ('requests', 0, 1)")
    monkeypatch.setattr(versions, "SCHEMA_VERSION", known + 1)
    monkeypatch.setattr(versions, "MIGRATIONS", folder)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.query("SELECT * FROM manifest").num_rows == 1
            assert store.query("SELECT max(version) AS v FROM schema_version")["v"][0].as_py() == known + 1


def test_a_column_a_table_gained_is_added_to_old_files(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.replace_buckets({"requests": requests(NOON_NS, 1)}, {"requests": [NOON_NS]})
        store.query("ALTER TABLE requests_20241004 DROP COLUMN currency")
    with Store.open(tmp_path) as store:
        assert store.query("SELECT currency FROM requests")["currency"].to_pylist() == [None]
        store.append_raw({"spans": spans(NOON_NS)})


def test_a_file_of_version_1_gets_a_table_per_day(tmp_path: Path) -> None:
    """There, settled relations lay in one table each, with a manifest of all buckets."""
    buckets = [NOON_NS, NOON_NS + MINUTE_NS, NOON_NS + DAY_NS]
    with Store.open(tmp_path) as store:
        store.replace_buckets({"requests": requests(NOON_NS, 9, "stale")}, {"requests": buckets[:1]})
        for bucket in buckets:
            store.replace_buckets({"requests": requests(bucket, 5)}, {"requests": [bucket]})
        before = store.query("FROM requests ORDER BY request_id")
    _as_version_1(tmp_path)
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.query("FROM requests ORDER BY request_id").equals(before)
            assert store.query("FROM requests_20241004").num_rows == 10, "stale rows are left behind"
    with Store.open(tmp_path) as store:
        store.replace_buckets({"requests": requests(buckets[0], 2)}, {"requests": buckets[:1]})
        assert store.query("FROM requests").num_rows == 2 + 5 + 5


def _as_version_1(folder: Path) -> None:
    with duckdb.connect(str(database_file(folder))) as connection:
        for name in definitions.SETTLED:
            connection.execute(f"DROP VIEW {name}; DROP VIEW {name}_bucketed")
            connection.execute(definitions.table(name, f"{name}_rows"))
        connection.execute("INSERT INTO requests_rows BY NAME FROM requests_20241004")
        connection.execute("INSERT INTO requests_rows BY NAME FROM requests_20241005")
        connection.execute("DROP TABLE requests_20241004; DROP TABLE requests_20241005")
        connection.execute("CREATE VIEW requests AS SELECT * EXCLUDE (bucket_ns, generation) FROM requests_rows")
        connection.execute("UPDATE schema_version SET version = 1")


def test_a_file_of_version_3_sums_its_hours_anew(tmp_path: Path) -> None:
    """There, roll-ups had a table per day and were archived. The file is of that release: two days, one sealed."""
    with tarfile.open(VERSION_3) as packed:
        packed.extractall(tmp_path, filter="data")
    data = tmp_path / "data"
    with reading.open(f"duckdb://{data}") as reader:
        _answers_like_version_3(reader)
    with Store.open(data) as store:
        assert store.query("SELECT count(*) AS n FROM duration_hours")["n"].to_pylist() == [0]
        _answers_like_version_3(store)
        assert roll_up(store, 2**62) == 8
        _answers_like_version_3(store)
        assert store.query("SELECT count(DISTINCT started_at) AS n FROM request_hours")["n"].to_pylist() == [4]
        listed = store.query("SELECT relation FROM archive_files ORDER BY relation")["relation"].to_pylist()
        assert listed == ["attempt_energy", "attempts", "energy_intervals", "energy_spent", "requests"]
        assert {path.stem for path in store.archive.rglob("*.parquet")} == set(listed), "old roll-ups are swept up"
    with Store.open(data) as store:
        assert roll_up(store, 2**62) == 0
        _answers_like_version_3(store)


def _answers_like_version_3(reader: metric.Queries) -> None:
    """What that release answered."""
    window = Window(datetime(2024, 10, 4), datetime(2024, 10, 6))
    found = metric.run_all(reader, ("energy", "e2e_p95", "error_rate"), window, by=())
    joules = {row["part"]: row["value"] for row in found["energy"].to_pylist()}
    told = {"idle": 43200.0, "overhead": 8640.0, "successful": 709.8939291552248, "unattributed": 28.395757166208995}
    assert joules == pytest.approx(told, rel=1e-12)
    assert found["e2e_p95"]["value"].to_pylist() == pytest.approx([0.8420920163378514], rel=1e-12)
    assert found["error_rate"].select(["value", "n"]).to_pylist() == [{"value": 0.0, "n": 26}]


def test_a_file_that_knows_no_roll_ups_is_read_without_them(tmp_path: Path) -> None:
    """It is read as it is; the collector brings it forward when it opens it."""
    rows = sample.library_days(datetime(2024, 10, 4, 12), hours=7, per_minute=0.2)
    window = Window(datetime(2024, 10, 4, 5), datetime(2024, 10, 4, 12))
    with Store.open(tmp_path) as store:
        sample.settle(store, rows)
        expected = metric.run_all(store, ("energy", "e2e_p95", "error_rate"), window)
        roll_up(store, 2**62)
    with duckdb.connect(str(database_file(tmp_path))) as connection:
        for name in definitions.BY_DAY:
            connection.execute(f"DROP VIEW {name}_open")
        connection.execute("DROP VIEW requests_measured")
        for name in definitions.ROLLED_UP:
            connection.execute(f"DROP VIEW {name}; DROP VIEW {name}_bucketed; DROP TABLE {name}_summed")
            connection.execute("DELETE FROM manifest WHERE relation = ?", [name])
        connection.execute("DROP MACRO percentile; DROP MACRO log_step; DROP MACRO log_step_value")
    for _ in range(2):
        with reading.open(f"duckdb://{tmp_path}") as reader:
            found = metric.run_all(reader, ("energy", "e2e_p95", "error_rate"), window)
        assert found["error_rate"].equals(expected["error_rate"])
        assert found["e2e_p95"].equals(expected["e2e_p95"])
        assert found["energy"]["value"].to_pylist() == pytest.approx(expected["energy"]["value"].to_pylist())
        Store.open(tmp_path).close()
