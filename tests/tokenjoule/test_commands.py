"""The command line as people type it, over a data folder without a running collector."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from conventions.errors import TokenjouleError
from store import schemas
from store.writing import Store
from tokenjoule.__main__ import app

runner = CliRunner()
NOW = datetime(2026, 11, 20, 12, 0)
BUDGETS = """
[[budgets]]
name = "errors"
kind = "errors"
objective = 0.99
window = "1d"
[[rules]]
name = "errors-fast"
budget = "errors"
long = "1h"
short = "5m"
factor = 14.4
severity = "page"
"""


def request(number: int, *, success: bool) -> dict[str, object]:
    started = NOW - timedelta(seconds=20 * number + 10)
    return {
        "request_id": f"t:{number}",
        "trace_id": "t",
        "tenant": "archive",
        "tier": "scout",
        "started_at": started,
        "ended_at": started + timedelta(seconds=1),
        "success": success,
        "error_type": None if success else "timeout",
        "output_tokens": 10,
        "e2e_s": 1.0,
        "success_basis": "observed",
    }


def data_folder(path: Path, failures: int) -> Path:
    rows = [request(number, success=number >= failures) for number in range(100)]
    schema = schemas.arrow("requests")
    table = pa.Table.from_pylist(rows, schema=schema)
    buckets = {int((row["started_at"] - datetime(1970, 1, 1)).total_seconds()) // 60 * 60 * 10**9 for row in rows}  # type: ignore[operator]
    with Store.open(path) as store:
        store.replace_buckets({"requests": table}, {"requests": sorted(buckets)})
    return path


def invoke(*arguments: str) -> tuple[int, bytes]:
    result = runner.invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout_bytes


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(data_folder(tmp_path_factory.mktemp("healthy"), failures=0))


@pytest.fixture(scope="module")
def burning(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(data_folder(tmp_path_factory.mktemp("burning"), failures=60))


SQL = "SELECT tier, count(*) AS n, sum(output_tokens) AS tokens FROM requests GROUP BY tier"


def test_query_speaks_every_format(healthy: str, tmp_path: Path) -> None:
    expected = {"tier": "scout", "n": 100, "tokens": 1000}
    assert json.loads(invoke("query", "--data", healthy, "--format", "json", SQL)[1]) == [expected]
    text = invoke("query", "--data", healthy, "--format", "csv", SQL)[1].decode()
    assert list(csv.DictReader(io.StringIO(text))) == [{"tier": "scout", "n": "100", "tokens": "1000"}]
    parquet = tmp_path / "rows.parquet"
    assert invoke("query", "--data", healthy, "-f", "parquet", "-o", str(parquet), SQL)[0] == 0
    assert pyarrow.parquet.read_table(parquet).to_pylist() == [expected]
    assert "scout" in invoke("query", "--data", healthy, SQL)[1].decode()


def test_query_refuses_what_is_not_one_reading_statement(healthy: str) -> None:
    with pytest.raises(TokenjouleError):
        invoke("query", "--data", healthy, "DELETE FROM requests")


def test_an_unknown_format_names_the_choices(healthy: str) -> None:
    with pytest.raises(TokenjouleError, match=r"unknown format 'jsn' \(did you mean 'json'\?\)"):
        invoke("query", "--data", healthy, "--format", "jsn", SQL)


def test_check_exits_one_when_a_budget_burns_and_zero_when_none_does(
    healthy: str, burning: str, tmp_path: Path
) -> None:
    config = tmp_path / "budgets.toml"
    config.write_text(BUDGETS)
    fires = invoke("check", "--config", str(config), "--data", burning, "--at", NOW.isoformat())
    assert fires[0] == 1
    assert "errors-fast" in fires[1].decode()
    assert invoke("check", "--config", str(config), "--data", healthy, "--at", NOW.isoformat())[0] == 0


def test_doctor_names_probes_and_remedies() -> None:
    code, text = invoke("doctor")
    assert code == 0
    assert "energy probes" in text.decode()
    assert "cpu_model" in text.decode()


def test_report_summary_prints_the_five_numbers(healthy: str) -> None:
    hours = (datetime.now(UTC).replace(tzinfo=None) - NOW) / timedelta(hours=1) + 24
    text = invoke("report", "summary", "--data", healthy, "--hours", str(hours))[1].decode()
    for number in ("Energy per successful token", "Time to first token", "End-to-end latency", "cache hit rate"):
        assert number.lower() in text.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--config", "{folder}/slip.toml"], "did you mean 'collector'"),
        (["up", "--config", "{folder}/rules.toml"], "nothing to start"),
        (["demo", "--json", "{folder}/missing/demo.json"], "there is no folder"),
        (["collect", "--data", "{folder}/data", "--http", "127.0.0.1:99999"], "65535"),
        (["compare", "sorting"], "choose from all, batching, routing"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "slip.toml").write_text('[colector]\ndata = "data"\n')
    (tmp_path / "rules.toml").write_text('[[budgets]]\nname = "errors"\n')
    with pytest.raises(TokenjouleError, match=said):
        invoke(*(argument.format(folder=tmp_path) for argument in arguments))


@pytest.mark.parametrize(
    "arguments", [["demo", "--seconds", "-1"], ["compare", "--pairs", "0"], ["report", "summary", "--hours", "-1"]]
)
def test_lengths_and_counts_must_be_above_nothing(arguments: list[str]) -> None:
    assert invoke(*arguments)[0] == 2
