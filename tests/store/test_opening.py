"""One owner at a time, nothing acknowledged lost, no file of a newer release touched."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conventions.errors import StoreError, StoreLocked, StoreTooNew
from store import reading
from store.writing import Store
from tests.store.store_samples import NOON_NS, spans

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRITER = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
from store.writing import Store
from tests.store.store_samples import NOON_NS, spans
store = Store.open({path!r})
batch = 0
while True:
    store.append_raw({{"spans": spans(*[NOON_NS + batch] * 10)}})
    batch += 1
    print(batch, flush=True)
"""


def writer(path: Path) -> "subprocess.Popen[str]":
    script = WRITER.format(root=str(ROOT), here=str(HERE), path=str(path))
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def killed_after(path: Path, batches: int) -> int:
    """Let a writer acknowledge at least that many batches, then SIGKILL it; returns how many it acknowledged."""
    process = writer(path)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= batches:
            break
    os.kill(process.pid, signal.SIGKILL)
    rest = [int(line) for line in process.stdout.read().split()]
    process.stdout.close()
    process.wait()
    return max([batches, *rest])


@pytest.mark.parametrize("batches", [1, 7, 40])
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path, batches: int) -> None:
    acknowledged = killed_after(tmp_path, batches)
    with Store.open(tmp_path) as store:
        found = store.query("SELECT count(*) AS n, count(DISTINCT received_ns) AS batches FROM spans").to_pylist()[0]
    assert found["batches"] >= acknowledged
    assert found["n"] == 10 * found["batches"], "a batch is there whole or not at all"


def test_a_killed_writers_rows_are_there_for_a_read_only_reader(tmp_path: Path) -> None:
    acknowledged = killed_after(tmp_path, 5)
    with reading.open(f"duckdb://{tmp_path}") as reader:
        assert reader.query("SELECT count(*) AS n FROM spans")["n"][0].as_py() >= 10 * acknowledged


def test_a_file_owned_by_another_process_says_how_to_read_it(tmp_path: Path) -> None:
    process = writer(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        with pytest.raises(StoreLocked, match="http://"):
            Store.open(tmp_path)
        with pytest.raises(StoreLocked, match="http://"):
            reading.open(f"duckdb://{tmp_path}")
    finally:
        process.kill()
        process.communicate()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.query("INSERT INTO schema_version VALUES (99)")
    with pytest.raises(StoreTooNew, match=r"99.*upgrade tokenjoule"):
        Store.open(tmp_path)
    with reading.open(f"duckdb://{tmp_path}") as reader:
        assert reader.query("SELECT max(version) AS v FROM schema_version")["v"][0].as_py() == 99


def test_an_unreadable_log_is_set_aside_and_opening_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed_after(tmp_path, 5)
    log = tmp_path / "tokenjoule.duckdb.wal"
    damaged = bytearray(log.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 64] = b"\xff" * 64
    log.write_bytes(damaged)
    with caplog.at_level(logging.ERROR), Store.open(tmp_path) as store:
        store.append_raw({"spans": spans(NOON_NS)})
    (aside,) = tmp_path.glob("*.wal.unreadable-*")
    assert aside.read_bytes() == bytes(damaged)
    assert "unreadable write-ahead log kept as" in caplog.text


def test_a_database_file_may_be_named_directly(tmp_path: Path) -> None:
    with Store.open(tmp_path / "mine.duckdb") as store:
        assert store.file == tmp_path / "mine.duckdb"


def test_no_store_and_no_known_scheme_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        reading.open(f"duckdb://{tmp_path}/nowhere")
    with pytest.raises(StoreError, match="duckdb:///PATH or http://HOST:PORT"):
        reading.open("sqlite:///x")


def test_macros_are_there_for_read_only_readers(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with reading.open(f"duckdb://{tmp_path}") as reader:
        row = reader.query(
            "SELECT ratio(1, 0) AS nothing, ratio(1, 4) AS quarter, bucket($t, 300) AS b", {"t": "2026-11-20 18:34:59"}
        ).to_pylist()[0]
    assert (row["nothing"], row["quarter"], str(row["b"])) == (None, 0.25, "2026-11-20 18:30:00")
