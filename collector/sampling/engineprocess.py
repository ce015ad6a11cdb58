"""CPU seconds of one engine's process tree, from when its listener began until it is gone.

The total never falls: what a child used stays counted after it ended. A tree that is found anew counts from 0 with the
time of its beginning for a start, so that what it used before it was found is in its first reading. While there is none
nothing is said: what was used from the last reading to the end is unknown and not 0.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from collector.sampling.processtree import ProcessTree
from collector.sampling.sample import Sample
from conventions.instruments import PROCESS_CPU_TIME

STARTED = 19  # starttime among the fields after the name (proc_pid_stat(5) counts it as the 22nd)


class EngineProcess:
    """The CPU time of ``engine``, which listens on ``port``, as a source of samples."""

    def __init__(self, engine: str, port: int) -> None:
        self._engine = engine
        self._tree = ProcessTree(port)
        self._start_ns = 0
        self._last_s: dict[psutil.Process, float] = {}  # a Process is hashed by pid and creation time
        self._total_s = 0.0

    def read(self) -> list[Sample]:
        """CPU seconds since the engine began; nothing while it is not there."""
        members, is_known = self._tree.members()
        if not is_known:
            self._start_ns, self._total_s, self._last_s = begun_ns(members), 0.0, {}
        self._last_s = {process: self._add(process) for process in members}
        if not members:
            return []
        return [Sample(PROCESS_CPU_TIME, self._total_s, time.time_ns(), self._start_ns, engine=self._engine)]

    def _add(self, process: psutil.Process) -> float:
        """Count what ``process`` used since the last reading, all of it if it is new; returns all it has used."""
        before_s = self._last_s.get(process, 0.0)
        try:
            times = process.cpu_times()
        except psutil.Error:
            return before_s
        used_s = float(times.user + times.system)
        self._total_s += max(0.0, used_s - before_s)
        return used_s


def begun_ns(processes: Iterable[psutil.Process]) -> int:
    """When the oldest of ``processes`` began (UTC), now if that cannot be told."""
    ages_s = [_age_s(process) for process in processes]
    return time.time_ns() - round(max(ages_s, default=0.0) * 1e9)


def _age_s(process: psutil.Process) -> float:
    """Seconds since ``process`` began.

    From the kernel's clock since boot where it is shown: psutil adds a boot time in whole seconds.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        since_boot_s = int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    try:
        return max(0.0, time.time() - float(process.create_time()))
    except psutil.Error:
        return 0.0
