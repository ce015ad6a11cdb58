"""How long until the overview stands: the whole page, computed cold over a store of sample days, without a browser."""

import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st
from streamlit.testing.v1 import AppTest

from bench.result import options, publish
from dashboard import sample
from store.writing import Store

VIEW = Path(sample.__file__).parent / "views" / "overview.py"
ROUNDS = 5


def overview_s(url: str, span: str) -> tuple[float, float]:
    """Median seconds, and of CPU time, of one run of the overview with empty caches.

    The first run is not counted: there AppTest looks through all installed packages for components, which a server does
    once at its start (0.5 s with 150 packages).
    """
    os.environ["TOKENJOULE_STORE"] = url
    page = AppTest.from_file(str(VIEW), default_timeout=120)
    page.query_params["range"] = span
    page.run()
    runs = [_run(page) for _ in range(ROUNDS)]
    return statistics.median(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs)


def _run(page: AppTest) -> tuple[float, float]:
    st.cache_data.clear()
    started, used = time.perf_counter(), time.process_time()
    page.run()
    assert not page.exception, page.exception[0].message
    assert len(page.metric) == 5, "the overview shows five numbers"
    return time.perf_counter() - started, time.process_time() - used


def main() -> None:
    """Seed, run, publish."""
    chosen = options(__doc__)
    hours, per_minute = (48.0, 6.0) if chosen.quick else (336.0, 12.0)
    rows = sample.library_days(datetime.now(UTC).replace(tzinfo=None), hours, per_minute)
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(folder) as store:
            sample.settle(store, rows)
        seconds, cpu_s = overview_s(f"duckdb:///{folder}", "24h" if chosen.quick else "7d")
    note = f"{len(rows['requests'])} requests over {hours:.0f} hours, caches empty, store read from its file"
    publish(
        "dashboard",
        {"overview_s": seconds, "overview_cpu_s": cpu_s, "requests": float(len(rows["requests"]))},
        chosen,
        note,
    )


if __name__ == "__main__":
    main()
