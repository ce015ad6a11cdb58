"""When the energy counter was last read: a meter's window begins and ends there, whatever it does before and after."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

Window = tuple[int, float, float]
LATE = "started late"


class Readings:
    """Notes the time of every reading of an energy counter in this process."""

    def __init__(self) -> None:
        self._read = pynvml.nvmlDeviceGetTotalEnergyConsumption
        self._at_s: float | None = None
        pynvml.nvmlDeviceGetTotalEnergyConsumption = self._noted

    def around(self, act: Callable[[], Any]) -> tuple[Any, float]:
        """What ``act`` returns and when it last read a counter; without any, when it was called."""
        called_s, self._at_s = time.monotonic(), None
        result = act()
        return result, self._at_s or called_s

    def _noted(self, handle: Any) -> int:
        before_s = time.monotonic()
        millijoules: int = self._read(handle)
        self._at_s = (before_s + time.monotonic()) / 2
        return millijoules


def asked() -> tuple[float, list[Window]]:
    """The epoch and the windows of the command line."""
    return float(sys.argv[1]), [tuple(window) for window in json.loads(sys.argv[2])]


def late(windows: list[Window], epoch_s: float) -> str | None:
    """What a meter that is ready only now says in place of figures when its first window is over or under way."""
    after_s = time.monotonic() - epoch_s - min(window[1] for window in windows)
    return f"{LATE} by {after_s:.1f} s" if after_s > 0 else None


def moments(windows: list[Window], epoch_s: float) -> Iterator[tuple[bool, Window]]:
    """The windows' ends (``True``) and beginnings in their order, each when its time has come."""
    edges = [(window[1], False, window) for window in windows] + [(window[2], True, window) for window in windows]
    for at_s, is_end, window in sorted(edges):
        time.sleep(max(0.0, epoch_s + at_s - time.monotonic()))
        yield is_end, window
