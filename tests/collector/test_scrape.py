"""A Prometheus page becomes samples, and the collector's own counters become metrics in its own store."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.counters import Counters
from collector.ingesting.making import RowMaker
from collector.ingesting.pipeline import Pipeline
from collector.sampling.sample import Sample, Source
from collector.sampling.sampler import Sampler, row
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


WHOLE = b"HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running 3\nvllm:num_requests_waiting NaN\n"


@contextlib.contextmanager
def answering(answer: bytes, drip_s: float = 0.0) -> Iterator[str]:
    """A server that answers everybody with these bytes, and then with a byte now and then for so long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    one, _ = listener.accept()
                    with one, contextlib.suppress(OSError):
                        one.recv(4_096)
                        one.sendall(answer)
                        end_s = time.monotonic() + drip_s
                        while time.monotonic() < end_s and not ended.wait(0.2):
                            one.sendall(b"#")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nvllm:num_requests_running 3\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nvllm:num_requests_running 3",
        b"HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running 3",
        b"HTTP/1.1 200 OK\r\n\r\nvllm:num_requests_running{\n",
    ],
    ids=["no HTTP", "an endless header", "a chunk cut short", "a length cut short", "half a line", "no labels"],
)
def test_a_page_that_is_none_or_not_whole_gives_nothing_and_the_next_one_is_read(answer: bytes) -> None:
    with answering(answer) as url:
        page = ScrapedPage(url, "vllm", "scout")
        assert page.read() == page.read() == []


def test_values_that_are_no_numbers_are_left_out() -> None:
    with answering(WHOLE) as url:
        assert [sample.value for sample in ScrapedPage(url, "vllm", "scout").read()] == [3.0]


def test_a_page_that_drips_is_given_up() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", drip_s=60.0) as url:
        began_s = time.monotonic()
        assert ScrapedPage(url, "vllm", "scout").read() == []
        assert time.monotonic() - began_s < 30.0


def test_a_source_that_fails_does_not_end_the_others_of_its_thread(tmp_path: Path) -> None:
    class Failing:
        def read(self) -> list[Sample]:
            raise KeyError("a mistake")

    with Store.open(tmp_path) as store, answering(WHOLE) as url:
        counters = Counters()
        tables = RowMaker((), 0, counters).tables
        pipeline = Pipeline(store, Spool(tmp_path / "spool"), tables, QueueSettings(), counters)
        sources: list[Source] = [Failing(), ScrapedPage(url, "vllm", "scout")]
        sampler = Sampler(lambda: contextlib.nullcontext(sources), 0.05, pipeline, counters)
        sampler.start()
        sampler.stop()
        pipeline.close()
        [[rows]] = [list(row.values()) for row in store.query("SELECT count(*) FROM metric_points").to_pylist()]
    assert rows >= 2
    assert counters.registry.get_sample_value("tokenjoule_collector_lost_samples_total") == rows


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
