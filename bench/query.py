"""How fast are answers over a month of requests? ``python -m bench.query [--quick] [--json PATH]``.

A store of settled requests over 30 days, on disk, 2 threads. Every metric over the last 7 days by tier and hour, warm,
in the process that owns the store and through HTTP; the overview's whole set of questions, two at a time as the page
asks them; and that again while spans are appended at a stated rate.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pyarrow as pa
from starlette.applications import Starlette
from starlette.routing import Route

from analytics import metric, together
from analytics.metric import Queries, Window
from analytics.reports import footprint, headline
from analytics.together import Question
from bench.listening import listening
from bench.month.build import month
from bench.result import options, publish
from collector.answering.query import query_endpoint
from store import reading, schemas
from store.limits import Limits
from store.writing import Store

END = datetime(2026, 11, 20)
WEEK = Window(END - timedelta(days=7), END)
HOUR_S = 3600.0
INGEST_SPANS_PER_S = 10_000
BATCH = 2_000
ROUNDS = 3
GROUPED = ("energy_per_successful_token", "e2e_p95", "response_cache_hit_rate", "error_rate")  # dashboard/tables.py


def main() -> None:
    """Build, ask, publish."""
    chosen = options(__doc__)
    count = 100_000 if chosen.quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder, Store.open(folder) as store:
        month(store, count, END)
        figures = measure(store, count)
    note = f"{count:,} requests over 30 days, 7 asked, by tier and hour; spans appended at {INGEST_SPANS_PER_S:,}/s"
    publish("query", figures, chosen, note)


def measure(store: Store, count: int) -> dict[str, float | str | None]:
    """All figures over the month in ``store``."""
    in_process = {name: warm_s(lambda name=name: _ask(store, name)) for name in metric.names()}  # type: ignore[misc]
    overview_s = warm_s(lambda: overview(store))
    overview_cpu_s = _timed(lambda: overview(store), time.process_time)
    with served(store) as url, reading.open(url) as reader:
        by_http = {name: warm_s(lambda name=name: _ask(reader, name)) for name in metric.names()}  # type: ignore[misc]
        overview_http_s = warm_s(lambda: overview(reader))
    busy_s = _overview_while_ingesting(store)
    slowest, second = sorted(in_process, key=lambda name: -in_process[name])[:2]
    return {
        "overview_s": overview_s,
        "overview_cpu_s": overview_cpu_s,
        "overview_http_s": overview_http_s,
        "slowest_metric_s": in_process[slowest],
        "slowest_metric": slowest,
        "second_slowest_metric_s": in_process[second],
        "median_metric_s": statistics.median(in_process.values()),
        "http_share_added": sum(by_http.values()) / sum(in_process.values()) - 1,
        "hot_bytes_per_request": store.file.stat().st_size / count,
        "interference": busy_s / overview_s,
    }


def warm_s(question: Callable[[], object]) -> float:
    """Median seconds of a question that was asked before."""
    question()
    return statistics.median(_timed(question) for _ in range(ROUNDS))


def overview(reader: Queries) -> None:
    """What the overview page asks: numbers, their course and the period before, split, table by tier, charges."""
    headline.numbers(reader, WEEK, bucket_s=HOUR_S)
    together.answers(reader, [Question("energy", WEEK, bucket_s=HOUR_S)])
    together.answers(reader, [Question(name, WEEK, ("tier",)) for name in GROUPED])
    footprint.charges(reader, WEEK)


@contextmanager
def served(store: Store) -> Iterator[str]:
    """The collector's query endpoint over ``store`` on a free port."""
    app = Starlette(routes=[Route("/v1/query", query_endpoint(store, Limits()), methods=["POST"])])
    with listening(app) as url:
        yield url


def _ask(reader: Queries, name: str) -> pa.Table:
    return metric.run(reader, name, WEEK, ("tier",), bucket_s=HOUR_S)


def _timed(question: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    question()
    return clock() - began


def _overview_while_ingesting(store: Store) -> float:
    stopping = threading.Event()
    writer = threading.Thread(target=_ingest, args=(store, stopping))
    writer.start()
    try:
        return warm_s(lambda: overview(store))
    finally:
        stopping.set()
        writer.join()


def _ingest(store: Store, stopping: threading.Event) -> None:
    """Batches of ready spans at the stated rate; one that comes late is not made up for."""
    now = time.time_ns()
    span = {"received_ns": now, "trace_id": "0" * 32, "span_id": "0" * 16, "name": "llm_request", "kind": "SERVER"}
    span |= {"start_ns": now, "end_ns": now, "status": "OK", "role": "engine", "output_tokens": 100}
    batch = pa.Table.from_pylist([span] * BATCH, schema=schemas.arrow("spans"))
    while not stopping.wait(BATCH / INGEST_SPANS_PER_S):
        store.append_raw({"spans": batch})


if __name__ == "__main__":
    main()
