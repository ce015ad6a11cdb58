"""How fast are answers over a month of requests? ``python -m bench.query [--quick] [--json PATH]``.

A store of settled requests over 30 days, all hot, on disk, 1 thread per statement. Every metric over the last 7 days by
tier and hour, warm, in the process that owns the store and through HTTP; the overview's whole set of questions, two
statements at a time as the page asks them. Then a real collector over that store: the overview as the page reads it
(what came in the last ``MAX_AGE_S`` may be missing) and with nothing missing, and the time until a POST is acknowledged
at 10,000 spans/s, each alone and both at once. At the end three days are sealed, for the bytes that archived requests
take with their attempts, joules and intervals. ``--month FOLDER`` keeps the built month there for the next time: it
takes longer to build than to ask, and it is copied before anything is written to it.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
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
from bench.result import chosen, parser, publish
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
MAX_AGE_S = 2  # dashboard/data.py

Figures = dict[str, float | str | None]


def main() -> None:
    """Build, ask, ask while spans arrive, seal, publish."""
    arguments = _parser().parse_args()
    options = chosen(arguments)
    count = 100_000 if options.quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "month"
        _provide(data, count, arguments.month)
        with Store.open(data) as store:
            figures = asked(store, count)
        figures |= interference(data, QUICK_SENDING_S if options.quick else SENDING_S)
        with Store.open(data) as store:
            figures["archived_bytes_per_request"] = archived_bytes(store)
    note = f"{count:,} requests over 30 days, 7 asked, by tier and hour; {SPANS_PER_S:,} spans/s beside"
    publish("query", figures, options, note)


def _parser() -> argparse.ArgumentParser:
    found = parser(__doc__)
    found.add_argument("--month", type=Path, metavar="FOLDER", help="keep the built month here, or read it from here")
    return found


def _provide(data: Path, count: int, kept: Path | None) -> None:
    """The month in the folder ``data``; built once where it is ``kept``."""
    built = kept or data
    if not built.exists():
        with Store.open(built) as store:
            month(store, count, END)
    if kept:
        shutil.copytree(kept, data)
    with Store.open(data) as store:
        found = store.query("SELECT count(*) AS n FROM requests WHERE started_at < $end", {"end": END})["n"][0].as_py()
    assert found == count // DAYS * DAYS, f"{built} has {found} requests and not {count}: name another folder"


def asked(store: Store, count: int) -> Figures:
    """Each metric and the overview over the month in ``store``, in this process and through HTTP."""
    in_process = {name: warm(partial(_ask, store, name)) for name in metric.names()}
    whole = warm(lambda: overview(store))
    with served(store) as url, reading.open(url) as reader:
        by_http = {name: warm(partial(_ask, reader, name)) for name in metric.names()}
    slowest, second = sorted(in_process, key=lambda name: -in_process[name].wall_s)[:2]
    cpu_s = [each.cpu_s for each in in_process.values()]
    wall_s = [each.wall_s for each in in_process.values()]
    return {
        "overview_s": whole.wall_s,
        "overview_cpu_s": whole.cpu_s,
        "slowest_metric_s": in_process[slowest].wall_s,
        "slowest_metric": slowest,
        "second_slowest_metric_s": in_process[second].wall_s,
        "median_metric_s": statistics.median(wall_s),
        "slowest_metric_cpu_s": max(cpu_s),
        "median_metric_cpu_s": statistics.median(cpu_s),
        "http_share_added": sum(each.wall_s for each in by_http.values()) / sum(wall_s) - 1,
        "hot_bytes_per_request": store.file.stat().st_size / count,
    }


def interference(data: Path, seconds: int) -> Figures:
    """A collector over ``data``: the overview and acknowledgements, each alone and both at once."""
    with collector(data, HOT) as (port, _):
        url = f"http://127.0.0.1:{port}"
        with reading.open(url, max_age_s=MAX_AGE_S) as page, reading.open(url) as fresh:
            alone = [warm(partial(overview, reader)).wall_s for reader in (page, fresh)]
            acknowledged_s = _sent(port, seconds)
            both = ThreadPoolExecutor(1).submit(_sent, port, seconds)
            beside: list[list[float]] = [[], []]
            while not both.done():
                for each, reader in zip(beside, (page, fresh), strict=True):
                    each.append(_timed(partial(overview, reader)).wall_s)
    page_s, fresh_s = (statistics.median(each) for each in beside)
    ack_s, ack_beside_s = (float(np.quantile(each, 0.99)) for each in (acknowledged_s, both.result()))
    return {
        "overview_http_s": alone[0],
        "overview_http_ingesting_s": page_s,
        "overview_interference": page_s / alone[0],
        "overview_fresh_interference": fresh_s / alone[1],
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


@dataclass(frozen=True, slots=True)
class Took:
    """How long a question took: by the clock, and of this process's CPU time."""

    wall_s: float
    cpu_s: float


def warm(question: Callable[[], object]) -> Took:
    """The medians of a question that was asked before."""
    question()
    rounds = [_timed(question) for _ in range(ROUNDS)]
    return Took(statistics.median(each.wall_s for each in rounds), statistics.median(each.cpu_s for each in rounds))


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


def _timed(question: Callable[[], object]) -> Took:
    began_s, used_s = time.perf_counter(), time.process_time()
    question()
    return Took(time.perf_counter() - began_s, time.process_time() - used_s)


def _sent(port: int, seconds: int) -> list[float]:
    """Seconds until each POST was acknowledged, at the stated rate."""
    bodies = Requests(SPANS_PER_POST).take(SPANS_PER_S * seconds // SPANS_PER_POST)
    return post_all(port, bodies, rate=SPANS_PER_S / SPANS_PER_POST)


if __name__ == "__main__":
    main()
