"""CPU seconds of one engine's process tree, from when it is found until its listener is gone.

The total never falls: what a child used stays counted after it ended. A tree that is found anew counts from 0 with a
start time of its own, and while there is none nothing is said: what was used from the last reading to the end, and
from a new beginning to the first reading, is unknown and not 0.
"""

import time

import psutil

from collector.sampling.processtree import ProcessTree
from collector.sampling.sample import Sample
from conventions.instruments import PROCESS_CPU_TIME


class EngineProcess:
    """The CPU time of ``engine``, which listens on ``port``, as a source of samples."""

    def __init__(self, engine: str, port: int) -> None:
        self._engine = engine
        self._tree = ProcessTree(port)
        self._start_ns = 0
        self._last_s: dict[psutil.Process, float] = {}  # a Process is hashed by pid and creation time
        self._total_s = 0.0

    def read(self) -> list[Sample]:
        """CPU seconds since the engine was found; nothing while it is not there."""
        members, is_known = self._tree.members()
        if not is_known:
            self._start_ns, self._total_s = time.time_ns(), 0.0
        self._last_s = {process: self._add(process, is_known=is_known) for process in members}
        if not members:
            return []
        return [Sample(PROCESS_CPU_TIME, self._total_s, time.time_ns(), self._start_ns, engine=self._engine)]

    def _add(self, process: psutil.Process, *, is_known: bool) -> float:
        """Count what ``process`` used since the last reading: all of it if it is new in a known tree, else from now.

        Returns all it has used.
        """
        before_s = self._last_s.get(process, 0.0 if is_known else None)
        try:
            times = process.cpu_times()
        except psutil.Error:
            return before_s or 0.0
        used_s = float(times.user + times.system)
        self._total_s += 0.0 if before_s is None else max(0.0, used_s - before_s)
        return used_s
