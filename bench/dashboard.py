"""How long until the overview is usable? ``python -m bench.dashboard [--quick] [--json PATH]``.

Debian's Chromium opens the page of a dashboard that reads a real collector over sample days: from the address to five
numbers, the drawn chart and the table. Streamlit keeps answers for seconds and the page asks for whole tens of seconds,
so each round waits for the next ten and is computed anew. ``title_s`` of it is Streamlit's own page, before it asked
anything. A first visit has an empty browser cache. CPU seconds are those of the dashboard's server and of the collector
for one opening, of which what they use at rest is taken off.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from bench.ingest import collector
from bench.result import options, publish
from dashboard import sample
from dashboard.selection import REFRESH_S
from store.writing import Store
from tokenjoule.configuration import free_port

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ROUNDS, FIRST_VISITS = 5, 2
SETTLING_S = 1.0  # after the page is usable its last messages still cost something
QUIET = "[collector.sampler]\nprobes = []\n"
WAIT_MS = 60_000
TITLE = "document.querySelector('h1')?.textContent === 'Overview'"
USABLE = """
    document.querySelectorAll('[data-testid=stMetricValue]').length === 5
    && document.querySelector('[data-testid=stVegaLiteChart] :is(canvas, svg)')
    && document.querySelector('[data-testid=stDataFrame] canvas')
    && !document.querySelector('[data-stale=true]')"""


@dataclass(frozen=True, slots=True)
class Opened:
    """One opening of the page."""

    title_s: float
    usable_s: float
    dashboard_cpu_s: float
    collector_cpu_s: float


@dataclass(frozen=True, slots=True)
class Servers:
    """What answers the browser."""

    url: str
    dashboard: psutil.Process
    collector: psutil.Process


def main() -> None:
    """Seed, open, publish."""
    chosen = options(__doc__)
    hours, per_minute, span = (48.0, 6.0, "24h") if chosen.quick else (336.0, 12.0, "7d")
    rows = sample.library_days(datetime.now(UTC).replace(tzinfo=None), hours, per_minute)
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(folder) as store:
            sample.settle(store, rows)
        with _served(Path(folder)) as servers, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            first = [_visits(browser, servers, span, 1)[0] for _ in range(FIRST_VISITS)]
            again = _visits(browser, servers, span, ROUNDS + 1)[1:]
            browser.close()
    figures = {
        "first_visit_s": statistics.median(each.usable_s for each in first),
        **{name: statistics.median(getattr(each, name) for each in again) for name in Opened.__slots__},
        "requests": float(len(rows["requests"])),
    }
    note = f"{len(rows['requests'])} requests over {hours:.0f} hours, range {span}, Chromium, nothing kept from before"
    publish("dashboard", figures, chosen, note)


@contextmanager
def _served(data: Path) -> Iterator[Servers]:
    with collector(data, QUIET) as (port, process):
        environment = {**os.environ, "TOKENJOULE_STORE": f"http://127.0.0.1:{port}"}
        command = [sys.executable, "-m", "dashboard", "--port", str(free_port())]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
            assert started.stdout is not None
            try:
                url = next(line.split()[2] for line in started.stdout if line.startswith("ready dashboard "))
                yield Servers(url, psutil.Process(started.pid), process)
            finally:
                started.terminate()


def _visits(browser: Browser, servers: Servers, span: str, number: int) -> list[Opened]:
    """Openings of the page by one browser profile, each at the beginning of ten seconds of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    found = []
    for _ in range(number):
        time.sleep(REFRESH_S - time.time() % REFRESH_S)
        page = context.new_page()
        found.append(_open(page, servers, span))
        page.close()
    context.close()
    return found


def _open(page: Page, servers: Servers, span: str) -> Opened:
    processes = (servers.dashboard, servers.collector)
    resting = [_cpu_s(each) for each in processes]
    time.sleep(SETTLING_S)
    before = [_cpu_s(each) for each in processes]
    began = time.perf_counter()
    page.goto(f"{servers.url}/?range={span}", wait_until="commit")
    page.wait_for_function(TITLE, timeout=WAIT_MS)
    title_s = time.perf_counter() - began
    page.wait_for_function(USABLE, timeout=WAIT_MS)
    usable_s = time.perf_counter() - began
    time.sleep(SETTLING_S)
    rates = [(now - then) / SETTLING_S for then, now in zip(resting, before, strict=True)]
    lasted_s = usable_s + SETTLING_S
    used = [_cpu_s(each) - at - rate * lasted_s for each, at, rate in zip(processes, before, rates, strict=True)]
    return Opened(title_s, usable_s, *used)


def _cpu_s(process: psutil.Process) -> float:
    """Of the process and its children."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


if __name__ == "__main__":
    main()
