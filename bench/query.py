"""How fast are answers over a month of requests? ``python -m bench.query [--quick] [--json PATH]``.

A store of settled requests over 30 days, all hot, on disk, 1 thread per statement. Every metric over the last 7 days by
tier and hour, warm, in the process that owns the store and through HTTP; the overview's whole set of questions, two
statements at a time as the page asks them. Then a real collector over that store: the overview and the time until a
POST is acknowledged at 10,000 spans/s, each alone and both at once. At the end three days are sealed, for the bytes
that archived requests take with their attempts, joules and intervals.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from starlette.applications import Starlette
from starlette.routing import Route

from analytics import metric, together
from analytics.metric import Queries, Window
from analytics.reports import overview as reports
from analytics.together import Question
from bench.ingest import collector
from bench.listening import listening
from bench.month.build import DAYS, month
from bench.result import options, publish
from bench.spans import Requests, post_all
from collector.answering.query import query_endpoint
from store import reading, sealing
from store.limits import Limits
from store.writing import Store

END = datetime(2026, 11, 20)
WEEK = Window(END - timedelta(days=7), END)
HOUR_S = 3600.0
SPANS_PER_S = 10_000
SPANS_PER_POST = 512
SENDING_S, QUICK_SENDING_S = 60, 10
ROUNDS = 3
SEALED_DAYS = 3
HOT = "[collector.upkeep]\nhot_days = 100000\n"
GROUPED = ("energy_per_successful_token", "e2e_p95", "response_cache_hit_rate", "error_rate")  # dashboard/tables.py

Figures = dict[str, float | str | None]


def main() -> None:
    """Build, ask, ask while spans arrive, seal, publish."""
    chosen = options(__doc__)
    count = 100_000 if chosen.quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(folder) as store:
            month(store, count, END)
            figures = asked(store, count)
        figures |= interference(Path(folder), QUICK_SENDING_S if chosen.quick else SENDING_S)
        with Store.open(folder) as store:
            figures["archived_bytes_per_request"] = archived_bytes(store)
    note = f"{count:,} requests over 30 days, 7 asked, by tier and hour; {SPANS_PER_S:,} spans/s beside"
    publish("query", figures, chosen, note)


def asked(store: Store, count: int) -> Figures:
    """Each metric and the overview over the month in ``store``, in this process and through HTTP."""
    in_process = {name: warm_s(partial(_ask, store, name)) for name in metric.names()}
    overview_s = warm_s(lambda: overview(store))
    overview_cpu_s = warm_s(lambda: overview(store), time.process_time)
    cpu_s = {name: warm_s(partial(_ask, store, name), time.process_time) for name in in_process}
    with served(store) as url, reading.open(url) as reader:
        by_http = {name: warm_s(partial(_ask, reader, name)) for name in metric.names()}
    slowest, second = sorted(in_process, key=lambda name: -in_process[name])[:2]
    return {
        "overview_s": overview_s,
        "overview_cpu_s": overview_cpu_s,
        "slowest_metric_s": in_process[slowest],
        "slowest_metric": slowest,
        "second_slowest_metric_s": in_process[second],
        "median_metric_s": statistics.median(in_process.values()),
        "slowest_metric_cpu_s": max(cpu_s.values()),
        "median_metric_cpu_s": statistics.median(cpu_s.values()),
        "http_share_added": sum(by_http.values()) / sum(in_process.values()) - 1,
        "hot_bytes_per_request": store.file.stat().st_size / count,
    }


def interference(data: Path, seconds: int) -> Figures:
    """A collector over ``data``: the overview and acknowledgements, each alone and both at once."""
    with collector(data, HOT) as (port, _), reading.open(f"http://127.0.0.1:{port}") as reader:
        alone_s = warm_s(lambda: overview(reader))
        acknowledged_s = _sent(port, seconds)
        both = ThreadPoolExecutor(1).submit(_sent, port, seconds)
        beside: list[float] = []
        while not both.done():
            beside.append(_timed(lambda: overview(reader)))
        beside_s = statistics.median(beside)
    ack_s, ack_beside_s = (float(np.quantile(each, 0.99)) for each in (acknowledged_s, both.result()))
    return {
        "overview_http_s": alone_s,
        "overview_http_ingesting_s": beside_s,
        "overview_interference": beside_s / alone_s,
        "ack_p99_ms": ack_s * 1000,
        "ack_p99_asking_ms": ack_beside_s * 1000,
        "ack_interference": ack_beside_s / ack_s,
    }


def archived_bytes(store: Store) -> float:
    """Bytes per request of the archive files of the oldest days."""
    first = (END - datetime(1970, 1, 1)).days - DAYS
    sealing.seal(store, first + SEALED_DAYS)
    found = store.query(
        "SELECT sum(size) / sum(num_rows) FILTER (WHERE relation = 'requests') AS each FROM archive_files"
    )
    return float(found["each"][0].as_py())


def warm_s(question: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of a question that was asked before."""
    question()
    return statistics.median(_timed(question, clock) for _ in range(ROUNDS))


def overview(reader: Queries) -> None:
    """What the overview page asks: numbers, their course and the period before, split, charges; the table by tier."""
    reports.overview(reader, WEEK, HOUR_S)
    together.answers(reader, [Question(name, WEEK, ("tier",)) for name in GROUPED])


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


def _sent(port: int, seconds: int) -> list[float]:
    """Seconds until each POST was acknowledged, at the stated rate."""
    bodies = Requests(SPANS_PER_POST).take(SPANS_PER_S * seconds // SPANS_PER_POST)
    return post_all(port, bodies, rate=SPANS_PER_S / SPANS_PER_POST)


if __name__ == "__main__":
    main()
