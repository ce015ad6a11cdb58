"""Does the collector stay within memory at its full rate? ``python -m bench.memory [--quick] [--json PATH]``.

A real collector in a process of its own takes in spans of about 450 B, 512 per POST, on four connections as fast as it
answers, for ten minutes (``--quick``: 40 s), while it settles and compacts. Its resident memory is read every second:
the course is printed by the minute, with the growth over the second half, which tells a leak from a working set.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.ingest import SPANS_PER_POST, STORED_WITHIN_S, collector, stored
from bench.result import options, publish
from bench.spans import Requests, post_all

SECONDS, QUICK_SECONDS = 600, 40
POSTS_AT_ONCE = 200
COURSE_POINTS = 10


@dataclass(slots=True)
class Course:
    """Resident memory in MB, once a second."""

    pid: int
    resident: list[float] = field(default_factory=list)
    anonymous: list[float] = field(default_factory=list)  # without pages of files, which the system can take back
    ended: threading.Event = field(default_factory=threading.Event)

    def record(self) -> None:
        """Until ``ended``."""
        while not self.ended.wait(1.0):
            told = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
            self.resident.append(_mb(told, "VmRSS"))
            self.anonymous.append(_mb(told, "RssAnon"))

    def by_share(self) -> list[float]:
        """The resident memory at equal steps of the run."""
        places = np.linspace(0, len(self.resident) - 1, COURSE_POINTS).astype(int)
        return [self.resident[place] for place in places]

    def growth_mb_per_minute(self) -> float:
        """Of the second half, by a line through it."""
        half = np.array(self.anonymous[len(self.anonymous) // 2 :])
        return float(np.polyfit(np.arange(len(half)), half, 1)[0] * 60)


def _mb(status: str, name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    """The course of resident memory, its peak and its growth."""
    chosen = options(__doc__)
    seconds = QUICK_SECONDS if chosen.quick else SECONDS
    requests = Requests(SPANS_PER_POST)
    with TemporaryDirectory() as folder, collector(Path(folder) / "collector") as (port, process):
        course = Course(process.pid)
        recorder = threading.Thread(target=course.record)
        recorder.start()
        posts, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            post_all(port, requests.take(POSTS_AT_ONCE))
            posts += POSTS_AT_ONCE
        elapsed = time.perf_counter() - began
        course.ended.set()
        recorder.join()
        acked, waiting_until = posts * SPANS_PER_POST, time.perf_counter() + STORED_WITHIN_S
        while (rows := stored(port)) < acked and time.perf_counter() < waiting_until:
            time.sleep(0.5)
        peak_mb = _mb(Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"), "VmHWM")
    figures: dict[str, float | str | None] = {
        "seconds": elapsed,
        "acked_spans_per_s": acked / elapsed,
        "stored_share": rows / acked,
        "peak_resident_mb": peak_mb,
        "peak_anonymous_mb": max(course.anonymous),
        "growth_mb_per_minute": course.growth_mb_per_minute(),
        "course_mb": " ".join(f"{mb:.0f}" for mb in course.by_share()),
    }
    publish("memory", figures, chosen, f"{posts} POSTs of {SPANS_PER_POST} spans, 4 connections, as fast as answered")


if __name__ == "__main__":
    main()
