"""Processes are waited for, their failures carry their own words, and nothing outlives the stack."""

import time
from pathlib import Path

import psutil
import pytest

from tokenjoule.stack import ProcessFailed, Spec, Stack

SERVES = "import time; print('ready one http://127.0.0.1:1', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(15, lambda *_: exit(0)); print('ready two x', flush=True); time.sleep(60)"
)


def python(name: str, code: str) -> Spec:
    return Spec(name, ("-c", code))


def test_ready_lines_give_the_addresses_and_leaving_ends_the_processes(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        assert stack.start([python("one", SERVES), python("two", STUBBORN)]) == {
            "one": "http://127.0.0.1:1",
            "two": "x",
        }
        pids = [stack.pid("one"), stack.pid("two")]
        assert stack.dead() == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_process_that_dies_tells_why(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack, pytest.raises(ProcessFailed, match=r"one ended with code 3;(.|\n)*no such weights"):
        stack.start([python("one", "import sys; sys.stderr.write('no such weights\\n'); sys.exit(3)")])


def test_one_that_ends_later_is_noticed(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        stack.start([python("one", "import time; print('ready one x', flush=True); time.sleep(0.2)")])
        deadline = time.monotonic() + 10
        while not stack.dead() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [running.spec.name for running in stack.dead()] == ["one"]


LEAVES_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(f"ready parent {child.pid}", flush=True)
time.sleep(600)
"""


def test_what_a_process_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        child = psutil.Process(int(stack.start([python("parent", LEAVES_A_CHILD)])["parent"]))
        assert child.is_running()
    gone, alive = psutil.wait_procs([child], timeout=60)
    assert not alive, gone
