"""A Prometheus page becomes samples, and the collector's own counters become metrics in its own store."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.counters import Counters
from collector.ingesting.making import RowMaker
from collector.ingesting.pipeline import Pipeline
from collector.sampling.sampler import row
from collector.sampling.scrape import ScrapedPage
from collector.sampling.selfwatch import SelfWatch
from collector.sampling.sources import samplers
from collector.settings import CollectorSettings, QueueSettings, ScrapeSettings, SettleSettings
from collector.settling.settle import Settler
from collector.spool.segments import Spool
from conventions.errors import PluginError
from store.writing import Store

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def page() -> Iterator[str]:
    class Pages(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(GOLDEN))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/dcgm-metrics.txt"
    server.shutdown()
    thread.join()
    server.server_close()


def test_energy_of_dcgm_is_a_cumulative_sum_with_board_and_source(page: str) -> None:
    found = [row(sample, 1, "node") for sample in ScrapedPage(page, "dcgm", None).read()]
    energy = [one for one in found if one["metric"] == "hw.energy"]
    assert [(one["device"], one["value"], one["source"]) for one in energy] == [
        ("GPU-aaaa", 1_500_000.25, "dcgm.counter"),
        ("GPU-bbbb", 2_000_000.0, "dcgm.counter"),
    ]
    assert {one["temporality"] for one in energy} == {"cumulative"}


def test_a_page_that_does_not_answer_gives_nothing() -> None:
    assert ScrapedPage("http://127.0.0.1:9/metrics", "vllm", "scout").read() == []


def test_an_unknown_exporter_is_refused_with_the_choices(tmp_path: Path) -> None:
    settings = CollectorSettings(scrapes=(ScrapeSettings("http://x/metrics", map="vlm"),))
    with Store.open(tmp_path) as store:
        tables = RowMaker((), 0, Counters()).tables
        pipeline = Pipeline(store, Spool(tmp_path / "spool"), tables, QueueSettings(), Counters())
        with pytest.raises(PluginError, match="vllm"):
            samplers(settings, pipeline, Counters(), Settler(store, SettleSettings()))
        pipeline.close()


def test_the_collectors_own_counters_are_metrics(tmp_path: Path) -> None:
    counters = Counters()
    counters.received.labels("traces").inc(7)
    with Store.open(tmp_path) as store:
        found = {
            one.instrument.name: one for one in SelfWatch(counters.registry, Settler(store, SettleSettings())).read()
        }
    assert found["tokenjoule.collector.received.traces"].value == 7
    assert found["tokenjoule.collector.queue_rows"].instrument.kind == "gauge"
    names = {name.removeprefix("tokenjoule.collector.") for name in found}
    assert {"commits", "commit_seconds_sum", "queue_bytes", "settle_lag_s", "late_spans"} <= names
