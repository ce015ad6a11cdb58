"""A running collector is backed up on request, into the folder that its settings allow and nowhere else."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.spool.records import Head, Record
from collector.spool.segments import SPOOL, Spool
from conventions.errors import StoreError
from store import reading
from store.writing import Store
from tests.collector.payloads import span, traces
from tests.collector.running_collector import Start
from tokenjoule.__main__ import app
from tokenjoule.commands import keep

COUNT = "SELECT count(*) AS n FROM spans"


def test_the_command_backs_up_a_running_collector_and_restores_it(start: Start, tmp_path: Path) -> None:
    collector = start(f'backups = "{tmp_path}/backups"\n[collector.tokens]\nadmin = "secret"')
    assert collector.post("/v1/traces", traces([span(1), span(2)])).status_code == 200
    command = ["backup", "--url", collector.url, "--to", "monday"]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, StoreError)
    assert "bearer token" in str(refused.exception)
    made = CliRunner().invoke(app, [*command, "--token", "secret"])
    assert made.exit_code == 0, made.exception
    assert f"{tmp_path}/backups/monday: " in made.output
    restored = CliRunner().invoke(app, ["restore", "--from", f"{tmp_path}/backups/monday", "--data", f"{tmp_path}/new"])
    assert restored.exit_code == 0, restored.exception
    with reading.open(f"duckdb://{tmp_path}/new") as reader:
        assert reader.query(COUNT)["n"].to_pylist() == [2]


def test_a_folder_outside_the_allowed_one_is_refused(start: Start, tmp_path: Path) -> None:
    collector = start(f'backups = "{tmp_path}/backups"')
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "out").symlink_to(tmp_path)
    for wanted in ("../x", "/etc/x", "", ".", "out/x", "a\x00b"):
        answer = collector.http.post("/v1/backup", json={"to": wanted})
        assert answer.status_code == 400, wanted
    assert collector.http.post("/v1/backup", json={"to": "ok"}).status_code == 200
    again = collector.http.post("/v1/backup", json={"to": "ok"})
    assert (again.status_code, "not empty" in again.json()["error"]) == (503, True)


def test_without_a_backup_folder_the_setting_is_named(start: Start) -> None:
    answer = start().http.post("/v1/backup", json={"to": "x"})
    assert (answer.status_code, "backups =" in answer.json()["error"]) == (400, True)


def test_a_folder_whose_collector_does_not_run_is_backed_up_directly(start: Start, tmp_path: Path) -> None:
    collector = start()
    assert collector.post("/v1/traces", traces([span(1)])).status_code == 200
    collector.stop()
    made = CliRunner().invoke(app, ["backup", "--data", f"{tmp_path}/data", "--to", f"{tmp_path}/copy"])
    assert made.exit_code == 0, made.exception
    with reading.open(f"duckdb://{tmp_path}/copy") as reader:
        assert reader.query(COUNT)["n"].to_pylist() == [1]


@pytest.mark.parametrize("options", [["--data", "/nowhere"], ["--url", "http://127.0.0.1:9"]])
def test_no_store_and_no_collector_are_said(options: list[str]) -> None:
    refused = CliRunner().invoke(app, ["backup", "--to", "x", *options])
    assert isinstance(refused.exception, StoreError)


def test_a_folder_with_rows_that_are_only_spooled_is_not_backed_up(tmp_path: Path) -> None:
    Store.open(tmp_path / "data").close()
    spool = Spool(tmp_path / "data" / SPOOL)
    spool.append([Record(Head("traces", "", 1, 1, "x"), b"a body")])
    spool.close()
    with pytest.raises(StoreError, match="start a collector on it"):
        keep.backup(tmp_path / "copy", data=tmp_path / "data")
