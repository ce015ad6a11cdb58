"""The query endpoint over a real server: three formats, parameters, refusals, limits, and clients that leave."""

import contextlib
import csv
import datetime
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bench.listening import listening
from collector.answering.answering import BUFFERED_BYTES, CONCURRENT_QUERIES
from collector.answering.query import query_endpoint
from conventions.errors import QueryRefused, StoreError
from store import reading, schemas
from store.limits import Limits
from store.writing import Store

SLOW = "SELECT count(*) FROM range(1000000) a(x), range(1000000) b(y) WHERE x % 7 = y % 11"


@contextlib.contextmanager
def served(store: Store, limits: Limits, token: str | None = None) -> Iterator[str]:
    app = Starlette(routes=[Route("/v1/query", query_endpoint(store, limits, token), methods=["POST"])])
    with listening(app) as url:
        yield url


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("data")) as opened:
        row = {
            "recorded_at": datetime.datetime(2026, 11, 20, 18, 30),
            "run_id": "r1",
            "kind": "load",
            "status": "started",
        }
        opened.append_records("runs", pa.Table.from_pylist([row], schema=schemas.arrow("runs")))
        yield opened


@pytest.fixture(scope="module")
def url(store: Store) -> Iterator[str]:
    with served(store, Limits(time_s=20)) as address:
        yield address


def ask(url: str, sql: str, **more: object) -> httpx.Response:
    return httpx.post(f"{url}/v1/query", json={"sql": sql, **more}, timeout=30)


def test_arrow_is_the_default_and_keeps_types(url: str) -> None:
    table = pa.ipc.open_stream(ask(url, "SELECT * FROM runs").content).read_all()
    assert table.schema == schemas.arrow("runs")
    assert table.num_rows == 1


def test_json_has_columns_and_rows_with_iso_times_and_no_nan(url: str) -> None:
    sql = "SELECT recorded_at, run_id, 'nan'::DOUBLE AS x, [1, 2] AS l, MAP {'a': 'b'} AS m, NULL AS n FROM runs"
    assert ask(url, sql, format="json").json() == {
        "columns": ["recorded_at", "run_id", "x", "l", "m", "n"],
        "rows": [["2026-11-20T18:30:00", "r1", None, [1, 2], {"a": "b"}, None]],
    }


def test_csv_has_a_header_and_nested_values_as_json(url: str) -> None:
    answer = ask(url, "SELECT run_id, MAP {'a': 'b'} AS m FROM runs", format="csv")
    assert list(csv.reader(io.StringIO(answer.text))) == [["run_id", "m"], ["r1", '{"a":"b"}']]
    assert answer.headers["content-type"].startswith("text/csv")


def test_intervals_are_iso_8601_in_every_text(url: str) -> None:
    sql = "SELECT INTERVAL '14 months 3 days' AS a, INTERVAL '-90.5 seconds' AS b, INTERVAL '0 s' AS c, 'x'::BLOB AS d"
    told = ["P14M3D", "PT-90.5S", "PT0S", "eA=="]
    assert ask(url, sql, format="json").json()["rows"] == [told]
    assert list(csv.reader(io.StringIO(ask(url, sql, format="csv").text)))[1] == told


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize(
    "sql", ["SELECT ['infinity'::TIMESTAMP] AS x", "SELECT [DATE '0044-03-15 (BC)'] AS x", "SELECT union_value(n := 2)"]
)
def test_what_a_format_cannot_hold_is_400_with_the_remedy(url: str, sql: str, form: str) -> None:
    answer = ask(url, sql, format=form)
    assert answer.status_code == 400
    assert "cast" in answer.json()["error"] or "sparse_union" in answer.json()["error"]


def test_a_statement_that_fails_after_its_first_rows_is_400(url: str) -> None:
    answer = ask(url, "SELECT CASE WHEN i = 300000 THEN error('boom') ELSE 'a' END FROM range(400000) t(i)")
    assert (answer.status_code, "boom" in answer.json()["error"]) == (400, True)


def test_no_rows_are_an_answer_in_every_format(url: str) -> None:
    assert [ask(url, "SELECT 1 WHERE false", format=name).status_code for name in ("arrow", "json", "csv")] == [200] * 3


def test_a_refused_statement_is_400_with_the_reason(url: str) -> None:
    answer = ask(url, "SELECT * FROM read_text('/etc/passwd')")
    assert answer.status_code == 400
    assert "read_text" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "body"),
        (b'{"sql": "SELECT \xed\xa0\x80"}', "body"),
        (b'{"sql": 1}', "sql"),
        (b'{"sql": "SELECT 1", "format": "xml"}', "format"),
    ],
)
def test_a_wrong_body_is_400_naming_the_field(url: str, body: bytes, named: str) -> None:
    answer = httpx.post(f"{url}/v1/query", content=body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_a_body_over_the_limit_is_413(url: str) -> None:
    assert httpx.post(f"{url}/v1/query", content=b" " * 2_000_000).status_code == 413


def test_the_time_limit_is_504(store: Store) -> None:
    with served(store, Limits(time_s=0.2)) as url:
        answer = ask(url, SLOW)
    assert answer.status_code == 504
    assert "0.2 s" in answer.json()["error"]


def test_a_wrong_token_is_401_and_the_right_one_reads(store: Store) -> None:
    with served(store, Limits(), token="secret") as url:
        assert ask(url, "SELECT 1").status_code == 401
        assert httpx.post(f"{url}/v1/query", headers={"Authorization": "Bearer wrong"}).status_code == 401
        with reading.open(url, token="secret") as reader:
            assert reader.query("SELECT 1").num_rows == 1
        with pytest.raises(StoreError, match="token"), reading.open(url) as reader:
            reader.query("SELECT 1")


def test_clients_that_leave_free_their_slots(store: Store) -> None:
    body = json.dumps({"sql": SLOW}).encode()
    with served(store, Limits(time_s=20)) as url:
        host, port = url.removeprefix("http://").split(":")
        for _ in range(CONCURRENT_QUERIES):
            with socket.create_connection((host, int(port))) as client:
                head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                client.sendall(head.encode() + body)
                time.sleep(0.2)
        began = time.monotonic()
        assert ask(url, "SELECT 1").status_code == 200
        assert time.monotonic() - began < 5


BIG = "SELECT i, md5(i::VARCHAR) AS word FROM range(400000) t(i)"


def test_a_large_arrow_answer_is_a_stream_of_all_rows(url: str) -> None:
    answer = ask(url, BIG)
    assert "content-length" not in answer.headers
    assert len(answer.content) > BUFFERED_BYTES
    table = pa.ipc.open_stream(answer.content).read_all()
    assert sorted(table["i"].to_pylist()) == list(range(400_000))


def test_large_json_and_csv_answers_are_streams_of_all_rows(url: str) -> None:
    as_json, as_csv = ask(url, BIG, format="json"), ask(url, BIG, format="csv")
    assert not {"content-length"} & {*as_json.headers, *as_csv.headers}
    assert as_json.json()["columns"] == ["i", "word"]
    assert sorted(row[0] for row in as_json.json()["rows"]) == list(range(400_000))
    header, *lines = as_csv.text.splitlines()
    assert header == '"i","word"'
    assert sorted(int(line.split(",")[0]) for line in lines) == list(range(400_000))


@pytest.mark.parametrize("form", ["arrow", "json", "csv"])
def test_a_stream_over_its_row_limit_is_cut_off_and_seen_to_be(store: Store, form: str) -> None:
    with served(store, Limits(rows=300_000)) as url, pytest.raises(httpx.RemoteProtocolError):
        ask(url, BIG, format=form)


def test_clients_that_leave_in_a_stream_free_their_slots(store: Store) -> None:
    with served(store, Limits(time_s=20)) as url:
        for _ in range(CONCURRENT_QUERIES + 1):
            body = {"sql": BIG.replace("400000", "900000")}
            with httpx.stream("POST", f"{url}/v1/query", json=body, timeout=10) as answer:
                next(answer.iter_raw(1000))
        began = time.monotonic()
        assert ask(url, "SELECT 1").status_code == 200
        assert time.monotonic() - began < 5


def test_the_http_reader_answers_like_the_file_reader(url: str, store: Store, tmp_path: Path) -> None:
    sql = "SELECT run_id FROM runs WHERE recorded_at >= $start::TIMESTAMP AND kind = $kind"
    start = datetime.datetime(2026, 11, 20, 19, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    with reading.open(url) as reader:
        assert reader.query(sql, {"start": start, "kind": "load"}).to_pylist() == [{"run_id": "r1"}]
        assert reader.query(sql, {"start": start + datetime.timedelta(seconds=1), "kind": "load"}).num_rows == 0
        with pytest.raises(QueryRefused, match="one statement"):
            reader.query("SELECT 1; SELECT 2")


def test_the_http_reader_serves_threads_and_survives_a_restarted_server(store: Store) -> None:
    with served(store, Limits()) as url, reading.open(url) as reader:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(reader.query("SELECT 42 AS x")["x"][0].as_py()))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [42] * 8


def test_nobody_listening_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with (
        reading.open(f"http://127.0.0.1:{port}") as reader,
        pytest.raises(StoreError, match="is the collector running"),
    ):
        reader.query("SELECT 1")
