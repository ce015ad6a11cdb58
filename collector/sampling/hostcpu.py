"""CPU seconds that this host was busy: the whole against which engines' CPU time is a share."""

import time

import psutil

from collector.sampling.sample import Sample
from conventions.instruments import HOST_CPU_TIME

BUSY = ("user", "nice", "system", "irq", "softirq")  # not idle, not iowait; guest is inside user, steal is not ours


def busy_seconds() -> float:
    """CPU seconds of all threads since boot that were not idle."""
    times = psutil.cpu_times()
    return sum(getattr(times, part, 0.0) for part in BUSY)


class HostCpu:
    """The host's busy CPU seconds as a source of samples."""

    def __init__(self) -> None:
        self._start_ns = time.time_ns()
        self._first_s = busy_seconds()

    def read(self) -> list[Sample]:
        """CPU seconds since this source was made."""
        busy_s = busy_seconds() - self._first_s
        return [Sample(HOST_CPU_TIME, busy_s, time.time_ns(), self._start_ns)]
