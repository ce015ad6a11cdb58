"""CPU seconds of this process and its children, and how they are split over the jobs that run in it.

Innermost jobs that are open at the same time share each stretch of CPU time equally: a job in a thread of its own
cannot be told from its neighbour, because torch computes in threads that belong to neither.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import psutil

CHILDREN_INTERVAL_S: Final = 5.0  # looking for children reads the state of every process of the host


class ProcessTree:
    """CPU seconds of this process, of children that ended and of those that run (data loaders); it never falls."""

    def __init__(self) -> None:
        self._children: dict[psutil.Process, float] = {}
        self._listed_s = float("-inf")
        self._total_s = 0.0

    def __call__(self) -> float:
        """CPU seconds up to now."""
        now_s = time.monotonic()
        if now_s - self._listed_s >= CHILDREN_INTERVAL_S:
            self._listed_s = now_s
            self._children = dict.fromkeys(_descendants(), 0.0)
        used = os.times()
        living = sum(_cpu_seconds(child) for child in self._children)
        self._total_s = max(self._total_s, used.user + used.system + used.children_user + used.children_system + living)
        return self._total_s


class Claimant(Protocol):
    """A job as the split sees it."""

    cpu_s: float

    @property
    def parent(self) -> "Claimant | None":
        """The job around it in this process."""
        ...


class CpuShares:
    """Gives each stretch of CPU time to the innermost open jobs. Safe to use from several threads."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._open: list[Claimant] = []
        self._last_s = 0.0

    def enter(self, job: Claimant) -> None:
        """``job`` claims from now on."""
        with self._lock:
            self._advance()
            self._open.append(job)

    def leave(self, job: Claimant) -> None:
        """``job`` claims no longer."""
        with self._lock:
            self._advance()
            self._open.remove(job)

    def advance(self) -> None:
        """Bring ``cpu_s`` of every open job up to now."""
        with self._lock:
            self._advance()

    def _advance(self) -> None:
        now_s = self._read()
        spent_s, self._last_s = now_s - self._last_s, now_s
        around = {id(job.parent) for job in self._open}
        innermost = [job for job in self._open if id(job) not in around]
        for job in innermost:
            job.cpu_s += spent_s / len(innermost)


def _descendants() -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process().children(recursive=True)
    except psutil.Error:
        return []
    return found


def _cpu_seconds(child: psutil.Process) -> float:
    """What it used, and what its own children did that ended; 0 once it is gone, because then it is in ours."""
    try:
        times = child.cpu_times()
    except psutil.Error:
        return 0.0
    parts = ("user", "system", "children_user", "children_system")
    return float(sum(getattr(times, part, 0.0) for part in parts))
