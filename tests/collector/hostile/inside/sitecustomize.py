"""Imported by Python at its start where this folder is on its path: lets a test set the clock of a collector's process
and kill its threads or all of it, by files in the folder that ``TOKENJOULE_INSIDE`` names.

``clock`` holds the seconds by which the wall clock is wrong; monotonic clocks go on, as when a machine's clock is set.
``kill`` holds the name of a thread: it gets a ``SystemExit`` wherever it is, and ``killed`` says that it is gone.
``kill_at`` holds ``module:function`` and ``before`` or ``after``: the process gets a ``SIGKILL`` when that function is
next called, or has done its work; ``armed`` says that it will.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["TOKENJOULE_INSIDE"])
LOOK_EVERY_S = 0.05
_time, _time_ns = time.time, time.time_ns
_wrong_s = 0


def _look() -> None:
    global _wrong_s
    while True:
        clock, kill = FOLDER / "clock", FOLDER / "kill"
        if clock.exists():
            _wrong_s = int(clock.read_text() or _wrong_s)
        if kill.exists():
            name = kill.read_text()
            for thread in threading.enumerate():
                if thread.name == name and thread.ident is not None:
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
                    )
            if all(thread.name != name for thread in threading.enumerate()):
                (FOLDER / "killed").write_text(name)
        if (FOLDER / "kill_at").exists() and not (FOLDER / "armed").exists():
            _arm(*(FOLDER / "kill_at").read_text().split())
        time.sleep(LOOK_EVERY_S)


def _arm(place: str, moment: str) -> None:
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner: Any = sys.modules[module]
    for one in owners:
        owner = getattr(owner, one)
    original = getattr(owner, name)

    def fatal(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named) if moment == "after" else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, fatal)
    (FOLDER / "armed").write_text(place)


time.time = lambda: _time() + _wrong_s
time.time_ns = lambda: _time_ns() + _wrong_s * 1_000_000_000
threading.Thread(target=_look, name="inside", daemon=True).start()
