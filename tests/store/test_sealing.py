"""Old days move into Parquet; whoever reads sees the same rows before, meanwhile and after, also through a kill -9."""

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conventions.errors import QueryRefused
from store import compaction, reading, sealing
from store.writing import Store
from tests.store.store_samples import DAY_NS, MINUTE_NS, NOON_NS, requests, spans

ROOT = Path(__file__).parents[2]
DAY = NOON_NS // DAY_NS
STEPS = ["written", "arranged", "committed", "checkpointed"]
SEALER = """
import os, signal, sys
sys.path.insert(0, {root!r})
from store import sealing
from store.writing import Store
store = Store.open({path!r})
sealing.seal(store, {before}, lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == {step!r} else None)
"""


def fill(store: Store, days: int = 3) -> None:
    for day in range(days):
        noon = NOON_NS + day * DAY_NS
        store.append_raw({"spans": spans(*(noon + number for number in range(50)))})
        for minute in range(4):
            bucket = noon + minute * MINUTE_NS
            store.replace_buckets({"requests": requests(bucket, 5 + day)}, {"requests": [bucket]})


def seen(store: "Store | reading.Reader") -> list[dict[str, object]]:
    sql = """
        SELECT 'spans' AS relation, received_ns // 86400000000000 AS day, count(*) AS n, sum(received_ns % 1000) AS s
        FROM spans GROUP BY ALL
        UNION ALL SELECT 'requests', epoch_ns(started_at) // 86400000000000, count(*), count(DISTINCT request_id)
        FROM requests GROUP BY ALL ORDER BY ALL"""
    rows: list[dict[str, object]] = store.query(sql).to_pylist()
    return rows


def test_sealed_days_read_the_same_and_leave_the_database(store: Store) -> None:
    fill(store)
    before = seen(store)
    whole = store.query("SELECT * FROM spans ORDER BY ALL")
    assert sealing.seal(store, DAY + 2) == [DAY, DAY + 1]
    assert seen(store) == before
    assert store.query("SELECT * FROM spans ORDER BY ALL").equals(whole), "types, maps and lists survive"
    assert sealing.hot_days(store) == [DAY + 2]
    assert store.query("SELECT * FROM requests_20241006").num_rows == 4 * 7
    names = sorted(path.relative_to(store.archive).as_posix() for path in store.archive.rglob("*.parquet"))
    assert names == [f"day=2024-10-0{day}/{relation}.parquet" for day in (4, 5) for relation in ("requests", "spans")]
    assert sealing.seal(store, DAY + 2) == []


def test_archived_rows_lie_in_order_of_time(store: Store) -> None:
    store.append_raw({"spans": spans(*(NOON_NS + number * 7919 % 300_000 for number in range(300_000)))})
    sealing.seal(store, DAY + 1)
    received = pq.read_table(next(store.archive.rglob("spans.parquet")), columns=["received_ns"])["received_ns"]
    assert received.to_pylist() == sorted(received.to_pylist())


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        before = seen(store)
    script = SEALER.format(root=str(ROOT), path=str(tmp_path), before=DAY + 2, step=step)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    with reading.open(f"duckdb://{tmp_path}") as reader:
        assert seen(reader) == before
    with Store.open(tmp_path) as store:
        assert seen(store) == before
        listed = {row["path"] for row in store.query("SELECT path FROM archive_files").to_pylist()}
        there = {str(path.relative_to(store.archive)) for path in store.archive.rglob("*") if path.is_file()}
        assert there == listed, "what was left over is swept up when the store opens"
        sealing.seal(store, DAY + 2)
        assert seen(store) == before


def test_an_unfinished_file_is_deleted_when_the_store_opens(tmp_path: Path) -> None:
    unfinished = tmp_path / "archive" / "day=2024-10-04" / "spans.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"PAR1")
    Store.open(tmp_path).close()
    assert not unfinished.parent.exists()


def test_a_late_row_of_a_sealed_day_is_seen_and_joins_the_archive(store: Store) -> None:
    fill(store)
    sealing.seal(store, DAY + 2)
    store.append_raw({"spans": spans(NOON_NS)})  # the clock went back
    store.replace_buckets({"requests": requests(NOON_NS, 9, "late")}, {"requests": [NOON_NS]})
    empty = NOON_NS + MINUTE_NS
    store.replace_buckets({}, {"requests": [empty]})

    def state() -> tuple[int, int, int, int]:
        spans_seen = store.query(f"FROM spans WHERE received_ns < {NOON_NS + DAY_NS // 2}").num_rows
        rows = store.query("SELECT tenant, request_id FROM requests").to_pylist()
        late = sum(row["tenant"] == "late" for row in rows)
        return spans_seen, late, len(rows), sum(row["request_id"].startswith(f"{empty}:") for row in rows)

    expected = (51, 9, (9 + 0 + 5 + 5) + 4 * 6 + 4 * 7, 0)
    assert state() == expected
    assert sealing.seal(store, DAY + 2) == [DAY]
    assert state() == expected
    assert sealing.hot_days(store) == [DAY + 2]
    current = store.query("SELECT path FROM archive_files WHERE relation = 'requests' AND day = $d", {"d": DAY})
    assert current["path"].to_pylist() == ["day=2024-10-04/requests-2.parquet"]


def test_a_day_that_changes_while_it_is_written_waits_for_the_next_time(store: Store) -> None:
    fill(store, days=1)
    late = iter([spans(NOON_NS)])

    def append_late(step: str) -> None:
        if step == "written":
            store.append_raw({"spans": next(late)})

    assert sealing.seal(store, DAY + 1, append_late) == []
    assert store.query("FROM spans").num_rows == 51
    assert sealing.seal(store, DAY + 1) == [DAY]
    assert store.query("FROM spans").num_rows == 51


def test_compaction_leaves_the_archive_out_of_its_account(store: Store) -> None:
    fill(store)
    sealing.seal(store, DAY + 2)
    noon = NOON_NS + 2 * DAY_NS
    for count in (4, 3, 2):
        store.replace_buckets({"requests": requests(noon, count)}, {"requests": [noon]})
    rows = store.query("FROM requests").num_rows
    assert compaction.compact(store, min_stale_share=0.2) == ["requests"]
    assert store.query("FROM requests").num_rows == rows


def test_a_folder_that_was_moved_reads_its_archive_also_read_only(tmp_path: Path) -> None:
    with Store.open(tmp_path / "here") as store:
        fill(store)
        before = seen(store)
        sealing.seal(store, DAY + 2)
    (tmp_path / "here").rename(tmp_path / "there")
    with reading.open(f"duckdb://{tmp_path}/there") as reader, reading.open(f"duckdb://{tmp_path}/there") as second:
        assert seen(reader) == seen(second) == before
    with Store.open(tmp_path / "there") as store:
        assert seen(store) == before


def test_a_missing_file_is_said_and_the_rest_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        sealing.seal(store, DAY + 2)
    (tmp_path / "archive" / "day=2024-10-04" / "spans.parquet").unlink()
    with Store.open(tmp_path) as store:
        assert store.query("FROM spans").num_rows == 100
    assert "day=2024-10-04/spans.parquet is listed but not there" in caplog.text


def test_a_day_archived_before_a_column_existed_reads_it_as_null(store: Store) -> None:
    fill(store, days=1)
    store.query("ALTER TABLE spans_20241004 DROP COLUMN currency")
    sealing.seal(store, DAY + 1)
    assert set(store.query("SELECT currency FROM spans")["currency"].to_pylist()) == {None}


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_parquet('{archive}/day=2024-10-04/spans.parquet')",
        "FROM '{archive}/day=2024-10-04/spans.parquet'",
        "FROM glob('{archive}/**')",
        "FROM read_blob('{archive}/../tokenjoule.duckdb')",
        "COPY (SELECT 1) TO '{archive}/x.csv'",
        "FROM archive_files",
    ],
)
def test_untrusted_sql_reads_archived_days_by_their_relations_only(store: Store, sql: str) -> None:
    fill(store)
    sealing.seal(store, DAY + 2)
    assert store.query_untrusted("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [150]
    with pytest.raises(QueryRefused):
        store.query_untrusted(sql.format(archive=store.archive))


def test_the_space_of_a_sealed_day_is_used_again(store: Store) -> None:
    def append(day: int) -> None:
        count = 200_000
        ids = pa.array([f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}" for number in range(count)])
        rows = spans(*(NOON_NS + day * DAY_NS + number for number in range(count)))
        store.append_raw({"spans": rows.set_column(1, "trace_id", ids)})
        store.checkpoint()

    append(0)
    append(1)
    large = store.file.stat().st_size
    for day in range(2, 5):
        sealing.seal(store, DAY + day - 1)
        append(day)
    assert store.query("FROM spans").num_rows == 1_000_000
    assert store.file.stat().st_size < 1.3 * large
