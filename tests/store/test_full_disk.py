"""A full disk stops writing with a reason; reading goes on, and with room again nothing acknowledged is missing."""

import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from conventions.errors import StoreError
from store import connection, space
from store.writing import Store
from tests.store.store_samples import NOON_NS, requests, spans

ROOT = Path(__file__).parents[2]
FILLING = """
import os, resource, sys
sys.path.insert(0, {root!r})
import pyarrow as pa
from conventions.errors import StoreError
from store.writing import Store
from tests.store.store_samples import NOON_NS, spans

def batch(number):
    rows = spans(*[NOON_NS + number] * 400)
    return rows.set_column(1, "trace_id", pa.array([os.urandom(1000).hex() for _ in range(400)]))

def count():
    return store.query("SELECT count(*) // 400 AS n FROM spans")["n"][0].as_py()

store = Store.open({path!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000_000, resource.RLIM_INFINITY))
acknowledged, refused = 0, 0
while refused < 5:
    try:
        store.append_raw({{"spans": batch(acknowledged)}})
        acknowledged += 1
    except StoreError as error:
        refused += 1
        reason = str(error)
assert "File too large" in reason, reason
assert count() >= acknowledged, "reading goes on"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(5):
    store.append_raw({{"spans": batch(acknowledged)}})
    acknowledged += 1
assert count() >= acknowledged
store.close()
with Store.open({path!r}) as again:
    assert again.query("FROM spans").num_rows >= 400 * acknowledged
    assert again.query("FROM spans").num_rows % 400 == 0
print("acknowledged", acknowledged)
"""
Usage = namedtuple("Usage", "total used free")


def test_a_file_that_cannot_grow_refuses_reads_on_and_recovers(tmp_path: Path) -> None:
    """With the system's real error, from a limit on the size of files: DuckDB gives the database up, we reopen it."""
    script = FILLING.format(root=str(ROOT), path=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[1]) > 5


def test_below_the_reserve_nothing_is_written_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path, reserve=100_000_000) as store:
        store.append_raw({"spans": spans(NOON_NS)})
        with monkeypatch.context() as full:
            full.setattr(space.shutil, "disk_usage", lambda _path: Usage(10**9, 10**9 - 10**7, 10**7))
            with pytest.raises(StoreError, match="10 MB free, 100 MB must stay so; make room"):
                store.append_raw({"spans": spans(NOON_NS)})
            with pytest.raises(StoreError, match="make room"):
                store.replace_buckets({"requests": requests(NOON_NS, 1)}, {"requests": [NOON_NS]})
            assert store.query("FROM spans").num_rows == 1
        store.append_raw({"spans": spans(NOON_NS)})
        assert store.query("FROM spans").num_rows == 2


def test_a_folder_that_cannot_be_written_is_said_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(tmp_path).close()
    with monkeypatch.context() as readonly:
        readonly.setattr(space.os, "access", lambda _path, _mode: False)
        with pytest.raises(StoreError, match="is read-only: choose another data folder"):
            Store.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the data folder"):
        Store.open(tmp_path / "file" / "data")


@pytest.mark.parametrize("reason", ["No space left on device", "File too large", "Out of Memory Error"])
def test_a_log_that_cannot_be_replayed_for_want_of_room_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    (tmp_path / "tokenjoule.duckdb.wal").write_bytes(b"log")

    def refuse(*_given: object, **_named: object) -> None:
        raise StoreError(f"Failure while replaying WAL file: {reason}")

    monkeypatch.setattr(connection, "connect", refuse)
    with pytest.raises(StoreError, match=reason):
        Store.open(tmp_path)
    assert (tmp_path / "tokenjoule.duckdb.wal").read_bytes() == b"log"
