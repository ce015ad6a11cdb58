"""The launcher of vLLM on a stand-in interpreter: nothing it started outlives it, however early it is stopped."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

LEAVES_A_CHILD = f"""#!{sys.executable}
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({{pids!r}}, "w").write(str(child.pid) + chr(10))
time.sleep(600)
"""


@pytest.mark.timeout(120)
def test_stopped_while_it_starts_it_leaves_no_engine_core_behind(tmp_path: Path) -> None:
    pids, interpreter, config = tmp_path / "pids", tmp_path / "python", tmp_path / "stack.toml"
    interpreter.write_text(LEAVES_A_CHILD.format(pids=str(pids)))
    interpreter.chmod(0o755)
    config.write_text(f'[serving.vllm.one]\npython = "{interpreter}"\nmodel = "{tmp_path}"\nport = 1\n')
    line = [sys.executable, "-m", "serving.backends.vllm", "--config", str(config), "--name", "one"]
    with subprocess.Popen(line) as launcher:
        while not (pids.exists() and pids.read_text().endswith("\n")):
            assert launcher.poll() is None
        child = psutil.Process(int(pids.read_text()))
        launcher.send_signal(signal.SIGTERM)
        launcher.wait()
    assert psutil.wait_procs([child], timeout=60)[1] == []
