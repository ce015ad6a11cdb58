"""Does the collector stay within memory at its full rate? ``python -m bench.memory [--quick] [--json PATH]``.

A real collector in a process of its own takes in spans of about 450 B, 512 per POST, on four connections as fast as it
answers, for ten minutes (``--quick``: 40 s), while it settles and compacts; then it settles what is left for up to
five minutes. Every second its memory is read, split by the accounts of ``/metrics``: DuckDB's, Arrow's, pages of
files, and the rest, which is Python, NumPy and what allocators keep. The course is printed by the minute, with the
growth over the second half, which tells a leak from a working set, and what the memory was made of when it was
largest.
"""

import contextlib
import http.client
import re
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.ingest import SPANS_PER_POST, STORED_WITHIN_S, collector, stored
from bench.result import options, publish
from bench.spans import Requests, post_all
from store.reading import open as open_reader

SECONDS, QUICK_SECONDS = 600, 40
POSTS_AT_ONCE = 200
COURSE_POINTS = 10
MEGABYTE = 2**20
SETTLED_WITHIN_S = 300.0
SERIES = re.compile(r'^tokenjoule_collector_(?:memory_bytes\{part="(\w+)"\}|(settle_lag_seconds)) (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Megabytes of one second, and how far settlement was behind."""

    resident: float
    files: float
    store: float
    arrow: float
    settle_lag_s: float

    @property
    def rest(self) -> float:
        """What no account explains."""
        return self.resident - self.files - self.store - self.arrow


@dataclass(slots=True)
class Course:
    """The memory of the collector on ``port``, once a second."""

    port: int
    readings: list[Reading] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def record(self) -> None:
        """Until ``ended``."""
        while not self.ended.wait(1.0):
            self.readings.append(read(self.port))

    def by_share(self, name: str) -> str:
        """A figure of the readings at equal steps of the run."""
        places = np.linspace(0, len(self.readings) - 1, COURSE_POINTS).astype(int)
        return " ".join(f"{getattr(self.readings[place], name):.0f}" for place in places)

    def growth_mb_per_minute(self) -> float:
        """Of the second half, without pages of files, by a line through it."""
        half = [one.resident - one.files for one in self.readings[len(self.readings) // 2 :]]
        return float(np.polyfit(np.arange(len(half)), np.array(half), 1)[0] * 60)

    @property
    def largest(self) -> Reading:
        """The reading with the most resident memory."""
        return max(self.readings, key=lambda one: one.resident)


def read(port: int) -> Reading:
    """What the collector says of itself now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        found = SERIES.findall(answer.read().decode())
    told = {part or name: float(value) for part, name, value in found}
    mb = {part: told[part] / MEGABYTE for part in ("resident", "anonymous", "store", "arrow")}
    return Reading(
        mb["resident"], mb["resident"] - mb["anonymous"], mb["store"], mb["arrow"], told.get("settle_lag_seconds", 0.0)
    )


def main() -> None:
    """The course of memory, its peak and what it is made of, and the lag of settlement."""
    chosen = options(__doc__)
    seconds = QUICK_SECONDS if chosen.quick else SECONDS
    requests = Requests(SPANS_PER_POST)
    with TemporaryDirectory() as folder, collector(Path(folder) / "collector") as (port, process):
        course = Course(port)
        recorder = threading.Thread(target=course.record)
        recorder.start()
        posts, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            post_all(port, requests.take(POSTS_AT_ONCE))
            posts += POSTS_AT_ONCE
        elapsed = time.perf_counter() - began
        while_sent, cpu_s = len(course.readings), sum(process.cpu_times()[:2])
        acked, waiting_until = posts * SPANS_PER_POST, time.perf_counter() + STORED_WITHIN_S
        while (rows := stored(port)) < acked and time.perf_counter() < waiting_until:
            time.sleep(0.5)
        stored_s, behind_s = time.perf_counter() - began, read(port).settle_lag_s
        settled = settle(port)
        settled_s = time.perf_counter() - began
        course.ended.set()
        recorder.join()
    peak, sending = course.largest, max(one.resident for one in course.readings[:while_sent])
    figures: dict[str, float | str | None] = {
        "seconds": elapsed,
        "acked_spans_per_s": acked / elapsed,
        "stored_spans_per_s": rows / stored_s,
        "stored_share": rows / acked,
        "settled_requests_share": settled / (rows / 2),
        "cpu_us_per_span_while_sent": cpu_s / acked * 1e6,
        "settle_lag_s_at_the_end": behind_s,
        "settled_s_after_the_last_commit": settled_s - stored_s,
        "peak_resident_mb": peak.resident,
        "peak_resident_mb_while_sent": sending,
        "at_the_peak_mb": ", ".join(f"{name} {getattr(peak, name):.0f}" for name in PARTS),
        **{f"peak_{name}_mb": max(getattr(one, name) for one in course.readings) for name in PARTS},
        "growth_mb_per_minute": course.growth_mb_per_minute(),
        "course_mb": course.by_share("resident"),
        "course_settle_lag_s": course.by_share("settle_lag_s"),
    }
    publish("memory", figures, chosen, f"{posts} POSTs of {SPANS_PER_POST} spans, 4 connections, as fast as answered")


PARTS = ("files", "store", "arrow", "rest")


def settle(port: int) -> int:
    """Have everything settled, as far as that goes in ``SETTLED_WITHIN_S``; how many requests there are then."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SETTLED_WITHIN_S)
    with contextlib.closing(connection), contextlib.suppress(TimeoutError):
        connection.request("POST", "/v1/settle")
        assert connection.getresponse().status == 200
    with open_reader(f"http://127.0.0.1:{port}") as reader:
        return int(reader.query("SELECT count(*) AS n FROM requests").to_pylist()[0]["n"])


if __name__ == "__main__":
    main()
