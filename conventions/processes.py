"""Ending a process of ours together with what it started."""

import contextlib
import os
import signal
import subprocess
from typing import Any


def await_end(process: "subprocess.Popen[Any]", within_s: float) -> None:
    """Wait for ``process``, which was asked to end; SIGKILL it after ``within_s`` seconds, then what it left behind.

    It must lead its process group (``process_group=0`` or ``start_new_session=True``): vLLM that is stopped while it
    starts, or killed, leaves its engine core and workers running.
    """
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
