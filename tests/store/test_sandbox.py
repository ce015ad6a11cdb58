"""What an untrusted statement may do: read the public relations, and nothing else."""

import contextlib
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from conventions.errors import QueryRefused, StoreError
from store.limits import Limits, QueryCancelled, TimeLimitExceeded
from store.writing import Store
from tests.store.store_samples import NOON_NS, requests, spans

SLOW = "SELECT count(*) FROM range(1000000) a(x), range(1000000) b(y) WHERE x % 7 = y % 11"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("sandbox")) as store:
        store.append_raw({"spans": spans(NOON_NS)})
        store.replace_buckets({"requests": requests(NOON_NS, 5)}, {"requests": [NOON_NS]})
        yield store


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM requests",
        "FROM requests",
        "VALUES (1), (2)",
        "DESCRIBE requests",
        "SUMMARIZE requests",
        "SHOW TABLES",
        "WITH recent AS (SELECT * FROM requests) SELECT ratio(count(*), 2), q(e2e_s, 0.5) FROM recent",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
        "SELECT * FROM range(3) JOIN generate_series(1, 3) s(i) ON true",
        "SELECT unnest(itl_s), attributes['k'] FROM main.spans",
        "FROM (PIVOT requests ON tenant IN ('acme') USING count(*))",
        "SELECT * FROM spans_20241004 UNION ALL SELECT * FROM spans;",
    ],
)
def test_reading_public_relations_is_allowed(seeded: Store, sql: str) -> None:
    assert seeded.query_untrusted(sql).num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        # files, the database's own among them
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "SELECT * FROM read_duckdb('{file}')",
        "SELECT * FROM glob('/*')",
        "FROM '{file}'",
        "FROM '/etc/passwd'",
        'FROM "x.csv"',
        "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
        "SUMMARIZE 'x.parquet'",
        "SELECT (SELECT count(*) FROM read_blob('{file}'))",
        "SELECT * FROM requests WHERE EXISTS (FROM read_text('/etc/passwd'))",
        "WITH a AS (FROM read_blob('{file}')) FROM a",
        "FROM sniff_csv('/etc/passwd')",
        "FROM parquet_metadata('x.parquet')",
        # SQL inside strings
        "FROM query('DELETE FROM manifest')",
        "FROM query_table('requests')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT json_serialize_plan('SELECT current_setting(''temp_directory'')', optimize := true)",
        # settings, paths, catalog
        "FROM duckdb_settings()",
        "FROM duckdb_databases()",
        "FROM pragma_database_size()",
        "FROM duckdb_secrets()",
        "FROM pg_catalog.pg_settings",
        "FROM information_schema.tables",
        "FROM sqlite_master",
        "WITH duckdb_settings AS (SELECT 1) FROM duckdb_settings",
        'WITH "x.csv" AS (SELECT 1) FROM "x.csv"',
        "SHOW DATABASES",
        "SELECT current_setting('temp_directory')",
        "SELECT getenv('HOME')",
        "SELECT write_log('x')",
        "PRAGMA database_list",
        # writing, and changing the session
        "DELETE FROM manifest",
        "INSERT INTO manifest VALUES ('requests', 0, 0)",
        "UPDATE manifest SET generation = 0",
        "DROP TABLE manifest",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "WITH gone AS (DELETE FROM manifest RETURNING *) SELECT * FROM gone",
        "SET VARIABLE x = 1",
        "SET search_path = 'temp'",
        "SET threads = 64",
        "CHECKPOINT",
        "FROM checkpoint()",
        "VACUUM",
        "COPY requests TO 'x.csv'",
        "COPY (SELECT 1) TO 'x.csv'",
        "EXPORT DATABASE 'x'",
        "ATTACH ':memory:' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE SELECT 1",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "COMMIT",
        # more than one statement
        "SELECT 1; SELECT 2",
        "COMMIT; DELETE FROM manifest",
        "",
        "SELECT",
    ],
)
def test_everything_else_is_refused_with_a_reason(seeded: Store, sql: str) -> None:
    with pytest.raises(QueryRefused, match=r"\w"):
        seeded.query_untrusted(sql.format(file=seeded.file))
    assert seeded.query("SELECT * FROM requests").num_rows == 5


def test_no_macro_of_duckdbs_reads_its_catalog_for_a_statement(seeded: Store) -> None:
    """What a macro expands to is not in the tree that is checked: a view with its paths was told."""
    found = seeded.query(
        "SELECT function_name AS name, len(any_value(parameters)) AS takes FROM duckdb_functions()"
        " WHERE function_type = 'macro' AND macro_definition ILIKE '%select%from%' GROUP BY ALL"
    ).to_pylist()
    assert "pg_get_viewdef" in [one["name"] for one in found]
    for one in found:
        with pytest.raises(QueryRefused, match="is not allowed"):
            seeded.query_untrusted(f"SELECT pg_catalog.{one['name']}({', '.join(['1'] * one['takes'])})")


def test_the_transaction_is_read_only_even_for_what_the_parser_would_let_through(
    seeded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.sandbox.check", lambda cursor, sql: cursor.extract_statements(sql)[0])
    with pytest.raises(QueryRefused, match="read-only"):
        seeded.query_untrusted("DELETE FROM manifest")
    with pytest.raises(QueryRefused):
        seeded.query_untrusted("FROM read_text('/etc/passwd')")


def test_parameters_are_named(seeded: Store) -> None:
    table = seeded.query_untrusted(
        "SELECT $tenant AS t, $at::TIMESTAMP AS a", {"tenant": "x", "at": "2026-01-01 00:00:00"}
    )
    assert str(table["a"][0].as_py()) == "2026-01-01 00:00:00"
    with pytest.raises(QueryRefused, match="tenant"):
        seeded.query_untrusted("SELECT $tenant")


@pytest.mark.parametrize(
    "value", [10**18, 10**30, 10**60, -1, 1e308, [1, "a"], [], {"a": [1]}, "\x00", "é", None, True]
)
def test_any_json_value_as_parameter_is_a_row_or_a_refusal(seeded: Store, value: Any) -> None:
    with contextlib.suppress(QueryRefused):
        assert seeded.query_untrusted("SELECT $value", {"value": value}).num_rows == 1


@pytest.mark.parametrize(
    "sql", ["SELECT '\x00'", "\x00", "SELECT 1 -- \x00", "SELECT '\ud800'", "/*", "'", "$1", "SELECT ?"]
)
def test_odd_text_is_a_row_or_a_refusal(seeded: Store, sql: str) -> None:
    with contextlib.suppress(QueryRefused):
        assert seeded.query_untrusted(sql).num_rows == 1


def test_a_query_past_its_time_is_stopped(seeded: Store) -> None:
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match=r"0\.2 s"):
        seeded.query_untrusted(SLOW, limits=Limits(time_s=0.2))
    assert time.monotonic() - began < 3
    assert seeded.query_untrusted("SELECT 1").num_rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 2000000000)",
        "SELECT repeat(repeat('x', 5000), 5000)",
        "SELECT repeat('x', e2e_s::BIGINT) FROM requests",
        "SELECT repeat('x', $size)",
        "SELECT lpad('x', 1000000000)",
        "SELECT list_transform(range(100000000), x -> 'y')",
        "SELECT unnest(generate_series(1, 100000000))",
        "SELECT printf('%1000000000d', 1)",
        "SELECT format('{:>1000000000}', 1)",
        "SELECT format('{:{}}', 1, 1000000000)",
        "SELECT printf(tenant, 1) FROM requests",
    ],
)
def test_one_call_that_makes_gigabytes_is_refused(seeded: Store, sql: str) -> None:
    """DuckDB neither interrupts nor counts it: it would outlast the time limit and take any memory."""
    with pytest.raises(QueryRefused, match=r"sizes|widths"):
        seeded.query_untrusted(sql, {"size": 3} if "$" in sql else {})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a.range, b.range, count(*) FROM range(1000000000) a, range(1000000000) b GROUP BY ALL",
        "SELECT list(range) FROM range(1000000000)",
        "SELECT string_agg(repeat('x', 1000), '') FROM range(100000000)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "WITH RECURSIVE r AS (SELECT repeat('x', 1000) AS s UNION ALL SELECT s || s FROM r) SELECT count(*) FROM r",
        "SELECT * FROM range(1000000000) ORDER BY hash(range)",
    ],
)
def test_a_hostile_query_ends_and_appends_and_queries_go_on(tmp_path: Path, sql: str) -> None:
    """By the memory of all queries together or by its time, whichever comes first."""
    with Store.open(tmp_path, memory_limit="256MB") as store:
        refused: list[QueryRefused] = []

        def ask() -> None:
            with pytest.raises(QueryRefused) as told:
                store.query_untrusted(sql, limits=Limits(time_s=1.0))
            refused.append(told.value)

        asking = threading.Thread(target=ask)
        asking.start()
        appended = 0
        while asking.is_alive():
            store.append_raw({"spans": spans(NOON_NS + appended)})
            appended += 1
            asking.join(0.05)
        assert len(refused) == 1
        assert appended
        assert store.query_untrusted("SELECT count(*) AS n FROM spans")["n"].to_pylist() == [appended]


LATE = "SELECT CASE WHEN i = 900000 THEN error('boom') ELSE 'a' END AS x FROM range(1000000) t(i)"


def test_a_statement_that_fails_after_its_first_rows_is_refused_with_the_reason(seeded: Store) -> None:
    with pytest.raises(QueryRefused, match="boom"):
        seeded.query_untrusted(LATE)
    with pytest.raises(StoreError, match="boom"):
        seeded.query(LATE)


def test_a_stream_past_its_time_is_stopped(seeded: Store) -> None:
    with pytest.raises(TimeLimitExceeded, match=r"0\.3 s"):
        seeded.query_untrusted(
            "SELECT md5(i::VARCHAR) FROM range(1000000000) t(i)", limits=Limits(time_s=0.3, rows=10**9)
        )


VARIANTS_HAVE_A_FORM = int(version("duckdb").partition(".")[0]) >= 2


@pytest.mark.parametrize(
    "sql",
    ["SELECT union_value(num := 2)", *([] if VARIANTS_HAVE_A_FORM else ["SELECT '2026-01-01'::VARIANT"])],
)
def test_a_type_that_arrow_lacks_is_refused(seeded: Store, sql: str) -> None:
    with pytest.raises(QueryRefused, match=r"(?i)not implemented|unsupported|union"):
        seeded.query_untrusted(sql)


def test_a_cancelled_query_says_so_also_when_cancelled_before_it_began(seeded: Store) -> None:
    query = seeded.untrusted(SLOW)
    query.cancel()
    with pytest.raises(QueryCancelled):
        query.run()
    query.cancel()


def test_results_are_bounded_in_rows_bytes_and_text(seeded: Store) -> None:
    with pytest.raises(QueryRefused, match="more than 10 rows"):
        seeded.query_untrusted("FROM range(11)", limits=Limits(rows=10))
    assert seeded.query_untrusted("FROM range(10)", limits=Limits(rows=10)).num_rows == 10
    with pytest.raises(QueryRefused, match="bytes"):
        seeded.query_untrusted("SELECT repeat('x', 5000) FROM range(1000)", limits=Limits(result_bytes=100_000))
    with pytest.raises(QueryRefused, match="characters"):
        seeded.query_untrusted("SELECT 1 " + " " * 100, limits=Limits(sql_characters=50))


def test_deep_nesting_is_an_answer_and_not_a_crash(seeded: Store) -> None:
    with pytest.raises(QueryRefused):
        seeded.query_untrusted("SELECT " + "abs(" * 3000 + "1" + ")" * 3000)
