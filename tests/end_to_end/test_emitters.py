"""Other people's instrumentations around a client of our gateway: five calls are five requests, each counted once.

``TOKENJOULE_EMITTERS_PYTHON`` names the interpreter of a venv that has them (``make test-emitters``). With
``TOKENJOULE_RECORD=DIRECTORY`` what they sent is written there, for ``tests/golden``.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import ROOT, Running, start
from tests.end_to_end.emitters.recorder import recording

pytestmark = [pytest.mark.emitters, pytest.mark.timeout(300)]
EMITTERS = {
    "openllmetry": 5,
    "openinference": 5,
    "openlit": 4,
    "litellm": 5,
}  # OpenLIT leaves the last out


@dataclass(frozen=True)
class Call:
    """What ``caller.py`` does, one after another."""

    operation: str = "chat"
    model: str = "scout"
    streamed: bool = False


CALLS = [Call(), Call(streamed=True), Call(streamed=True), Call(model="no-such-model"), Call("text_completion")]
JOINED = {
    "openllmetry": 5
}  # calls whose trace context reaches the gateway: those of the others are requests of their own
CALLER = Path(__file__).parent / "emitters" / "caller.py"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    started = start(
        ROOT / "config" / "demo.toml", tmp_path_factory.mktemp("emitters"), {"serving.gateway.cache": "none"}
    )
    yield started
    started.processes.stop()


@pytest.mark.parametrize("emitter", EMITTERS)
def test_each_call_is_one_call_with_what_it_was(stack: Running, emitter: str) -> None:
    seen = calls(stack, emitter)
    expected = CALLS[: EMITTERS[emitter]]
    assert [row["operation"] for row in seen] == [call.operation for call in expected]
    assert [row["model_requested"] for row in seen] == [call.model for call in expected]
    assert [bool(row["streamed"]) for row in seen] == [call.streamed for call in expected]
    assert [row["error_type"] is not None for row in seen] == [call.model != "scout" for call in expected]
    assert all(row["ttft_s"] is None for row in seen if not row["streamed"])
    assert [row["input_tokens"] for row in seen[:2]] == [13, 13]
    assert all(row["output_tokens"] > 0 for row in seen[:2])
    assert seen[0]["user_id"] == "user-7"
    assert requests_of_both(stack, {row["trace_id"] for row in seen}) == JOINED.get(emitter, 0)


def requests_of_both(stack: Running, traces: set[str]) -> int:
    """Requests that the caller and the gateway saw as one, of ``traces``."""
    rows = stack.query(
        """
        SELECT trace_id, count(DISTINCT r.request_id) AS requests FROM requests r JOIN spans s USING (trace_id)
        WHERE s.role = 'gateway' GROUP BY ALL
        """
    )
    both = [row for row in rows if row["trace_id"] in traces]
    assert all(row["requests"] == 1 for row in both)
    return len(both)


def calls(stack: Running, emitter: str) -> list[dict[str, Any]]:
    """What ``emitter`` sent while the caller ran."""
    service = f"{emitter}-caller"
    since_ns = time.time_ns()
    with recording(stack.urls["collector"]) as recorder:
        command = [os.environ["TOKENJOULE_EMITTERS_PYTHON"], str(CALLER), emitter, stack.urls["gateway"], recorder.url]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == 0, ended.stderr[-3000:]
        if directory := os.environ.get("TOKENJOULE_RECORD"):
            recorder.write(Path(directory) / emitter)
    time.sleep(2)  # the gateway's exporter sends every half second
    stack.settle()
    return stack.query(
        "SELECT * FROM spans WHERE service = $service AND role IS NOT NULL AND start_ns > $since ORDER BY start_ns",
        service=service,
        since=since_ns,
    )
