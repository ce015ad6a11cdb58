"""Whole runs in a process of their own, as users start them; the sink stands for the collector."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from loadgen.summary import RunResult
from tests.loadgen.loadgen_stub import Stub

CHAT = "steady_chat"


def loadgen(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "loadgen", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def load(path: Path, stub: Stub, sink: Stub, *more: str) -> RunResult:
    finished = loadgen(
        CHAT, "--target", stub.url, "--collector", sink.url, "--run-id", "run-1", "--arm", "a",
        "--rate", "15", "--seconds", "1", "--json", str(path), *more,
    )  # fmt: skip
    assert path.exists(), finished.stderr
    return RunResult.from_json(path.read_text())


def test_spans_rows_and_result_agree(tmp_path: Path, stub: Stub, sink: Stub) -> None:
    result = load(tmp_path / "r.json", stub, sink, "--keys", "key-1")
    seen = sink.seen()
    assert result.planned == result.sent == result.ok == len(seen["spans"])
    assert result.ok > 5
    started, ended = seen["rows"]
    assert (started["status"], ended["status"]) == ("started", "finished")
    assert (ended["run_id"], ended["kind"], ended["arm"], ended["requests_ok"]) == ("run-1", "load", "a", result.ok)
    assert json.loads(ended["summary"])["result"]["ok"] == result.ok
    assert "key-1" not in json.dumps(seen["rows"])
    requests = [request["headers"] for request in stub.seen()["requests"][-result.sent :]]
    assert {headers["traceparent"].split("-")[2] for headers in requests} == {span["span_id"] for span in seen["spans"]}
    assert {headers["authorization"] for headers in requests} == {"Bearer key-1"}
    assert_span_carries_what_the_client_saw(seen["spans"][0])


def assert_span_carries_what_the_client_saw(span: dict[str, Any]) -> None:
    known = span["attributes"]
    assert span["name"] == "chat auto"
    assert known["tokenjoule.role"] == "client"
    assert (known["tokenjoule.run.id"], known["tokenjoule.run.arm"]) == ("run-1", "a")
    assert known["gen_ai.response.finish_reasons"] == ["length"]
    assert len(known["tokenjoule.itl_s"]) == known["gen_ai.usage.output_tokens"] - 1
    seconds = (span["end"] - span["start"]) / 1e9
    assert 0.095 <= known["gen_ai.response.time_to_first_chunk"] < seconds < 2.0


def test_failures_are_counted_by_kind_by_client_and_collector(tmp_path: Path, stub: Stub, sink: Stub) -> None:
    result = load(tmp_path / "r.json", stub, sink, "--model", "breaks")
    assert result.ok == 0
    assert result.errors == {"broken_stream": result.sent}
    assert sink.seen()["rows"][-1]["status"] == "failed"
    assert all(span["status"] == 2 for span in sink.seen()["spans"])


def test_a_run_without_any_success_prints_its_errors_and_exits_with_1() -> None:
    finished = loadgen(CHAT, "--target", "http://127.0.0.1:1", "--collector", "none", "--seconds", "1", "--rate", "9")
    assert finished.returncode == 1
    assert "connection_refused" in finished.stdout


def test_requests_over_the_limit_in_flight_are_not_sent_and_counted(tmp_path: Path, stub: Stub, sink: Stub) -> None:
    result = load(tmp_path / "r.json", stub, sink, "--max-in-flight", "1")
    assert result.not_sent > 0
    assert result.sent + result.not_sent == result.planned
    assert result.sent == len(sink.seen()["spans"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "http://example.org:80"), "not on this machine: pass --allow-remote"),
        (("--collector", "http://127.0.0.1:1"), "pass --collector none"),
        (("--collector", "none", "--rate", "100", "--max-requests", "5"), "over --max-requests 5"),
        (("--collector", "none", "--rate", "0"), "rate and seconds must be above 0"),
    ],
)
def test_what_should_not_start_does_not_and_says_why(arguments: tuple[str, ...], message: str) -> None:
    finished = loadgen(CHAT, *arguments)
    assert finished.returncode == 2
    assert message in " ".join(finished.stderr.split())


def test_a_configuration_file_gives_defaults_and_flags_override(tmp_path: Path, stub: Stub) -> None:
    config = tmp_path / "load.toml"
    config.write_text(
        f'[loadgen]\ntarget = "{stub.url}"\ncollector = "none"\n'
        "[loadgen.scenarios.steady_chat]\nrate = 5\nseconds = 1\n"
    )
    path = tmp_path / "r.json"
    finished = loadgen(CHAT, "--config", str(config), "--rate", "20", "--json", str(path))
    assert finished.returncode == 0, finished.stderr
    assert RunResult.from_json(path.read_text()).planned > 10


def test_an_interrupt_ends_the_run_with_a_result(tmp_path: Path, stub: Stub, sink: Stub) -> None:
    path = tmp_path / "r.json"
    flags = ["--target", stub.url, "--collector", sink.url, "--rate", "5", "--seconds", "60", "--json", str(path)]
    command = [sys.executable, "-m", "loadgen", "run", CHAT, *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        while len(sink.seen()["spans"]) < 3:
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=10) == 0
    result = RunResult.from_json(path.read_text())
    assert result.not_sent > 0
    assert result.sent == len(sink.seen()["spans"])


def test_importing_the_pure_parts_patches_nothing() -> None:
    code = (
        "import loadgen.traces, loadgen.prompts, loadgen.arrivals, loadgen.experiment, loadgen.summary\n"
        "import loadgen.scenarios.steady_chat, loadgen.scenarios.trace_replay\n"
        "import sys, gevent.monkey\n"
        "assert not gevent.monkey.saved and 'locust' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scenario_file_is_a_locustfile(stub: Stub, sink: Stub) -> None:
    path = Path(__file__).parents[2] / "loadgen" / "scenarios" / "steady_chat.py"
    command = [sys.executable, "-m", "locust", "-f", str(path), "--headless", "-H", stub.url, "--only-summary"]
    flags = ["--collector", sink.url, "--rate", "10", "--seconds", "1", "--run-id", "from-locust"]
    finished = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    spans = sink.seen()["spans"]
    assert spans
    assert "TTFT" in finished.stderr
    assert sink.seen()["rows"][-1]["requests_ok"] == len(spans)


def test_a_locustfile_with_bad_settings_ends_with_the_reason(stub: Stub) -> None:
    path = Path(__file__).parents[2] / "loadgen" / "scenarios" / "trace_replay.py"
    command = [sys.executable, "-m", "locust", "-f", str(path), "--headless", "-H", stub.url, "--trace", "no.csv"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 2
    assert "no.csv" in finished.stderr
