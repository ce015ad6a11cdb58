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


def overview_s(url: str, span: str) -> float:
    """Median seconds of one cold run of the overview."""
    os.environ["TOKENJOULE_STORE"] = url
    return statistics.median(_run(span) for _ in range(ROUNDS))


def _run(span: str) -> float:
    st.cache_data.clear()
    page = AppTest.from_file(str(VIEW), default_timeout=120)
    page.query_params["range"] = span
    started = time.perf_counter()
    page.run()
    assert not page.exception, page.exception[0].message
    assert len(page.metric) == 5, "the overview shows five numbers"
    return time.perf_counter() - started


def main() -> None:
    """Seed, run, publish."""
    chosen = options(__doc__)
    hours, per_minute = (48.0, 6.0) if chosen.quick else (336.0, 12.0)
    rows = sample.library_days(datetime.now(UTC).replace(tzinfo=None), hours, per_minute)
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(folder) as store:
            sample.write(store, rows)
        seconds = overview_s(f"duckdb:///{folder}", "24h" if chosen.quick else "7d")
    note = f"{len(rows['requests'])} requests over {hours:.0f} hours, caches empty, store read from its file"
    publish("dashboard", {"overview_s": seconds, "requests": float(len(rows["requests"]))}, chosen, note)


if __name__ == "__main__":
    main()
