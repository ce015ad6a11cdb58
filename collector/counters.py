"""The collector's counters about itself, and their Prometheus text.

Counters are created where they are counted and rendered by one registry; nothing is global.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.decoding.batch import Batch

COMMIT_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Counters:
    """What the collector received, refused, committed and has waiting."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._counter("received", "spans, data points and log records decoded", "signal")
        self.rejected = self._counter("rejected", "items refused one by one (partial success)", "signal")
        self.passed_over = self._counter(
            "passed_over", "items that say nothing about a call and are not kept", "signal"
        )
        self.committed = self._counter("committed_rows", "rows committed to the store", "relation")
        self.refused = self._counter("refused_requests", "requests refused whole", "status")
        self.cut = self._counter("cut_values", "attribute values, attributes or events cut to their limits")
        self.commits = self._counter("commits", "transactions committed")
        self.failed_syncs = self._counter("failed_syncs", "writes of the spool that failed and were not acknowledged")
        self.set_aside = self._counter("set_aside_requests", "acknowledged requests of which no rows could be stored")
        self.failed_commits = self._counter("failed_commits", "transactions that failed and are tried again")
        self.lost_samples = self._counter("lost_samples", "rounds of own samples that could not be queued or stored")
        self.connections = self._gauge("connections", "open HTTP connections")
        self.closed_connections = self._counter("closed_connections", "HTTP connections ended by a bound", "why")
        self.sampling_cpu = self._counter(
            "sampling_cpu_seconds", "CPU time of the sampling threads in each source", "source"
        )
        self.queue_rows = self._gauge("queue_rows", "rows taken in that wait for the store")
        self.queue_bytes = self._gauge("queue_bytes", "bytes taken in that wait for the store")
        self.commit_seconds = self._seconds("commit_seconds", "time of one transaction")
        self.sync_seconds = self._seconds("sync_seconds", "time of one write of the spool, until it is on disk")
        self._by_signal: dict[str, tuple[Counter, ...]] = {}  # to look one up by its label costs 3 µs

    def count(self, signal: str, batch: Batch) -> None:
        """What one request held; what was cut of it is counted when its rows are made."""
        if signal not in self._by_signal:
            of_items = (self.received, self.rejected, self.passed_over)
            self._by_signal[signal] = tuple(one.labels(signal) for one in of_items)
        received, rejected, passed_over = self._by_signal[signal]
        received.inc(batch.accepted + batch.refusals.count + batch.passed_over)
        rejected.inc(batch.refusals.count)
        passed_over.inc(batch.passed_over)

    def watch(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A gauge that is read whenever somebody looks."""
        self._gauge(name, description).set_function(read)

    def watch_parts(self, name: str, description: str, read: Callable[[], Mapping[str, float]]) -> None:
        """The same with a series per key of what is read, in the label ``part``."""
        self.registry.register(_Parts(f"tokenjoule_collector_{name}", description, read))

    def text(self) -> bytes:
        """All of them in Prometheus text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(f"tokenjoule_collector_{name}", description, labels, registry=self.registry)

    def _seconds(self, name: str, description: str) -> Histogram:
        return Histogram(f"tokenjoule_collector_{name}", description, buckets=COMMIT_BUCKETS_S, registry=self.registry)

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(f"tokenjoule_collector_{name}", description, registry=self.registry)


@dataclass(frozen=True, slots=True)
class _Parts(Collector):
    name: str
    description: str
    read: Callable[[], Mapping[str, float]]

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self.name, self.description, labels=["part"])
        for part, value in self.read().items():
            family.add_metric([part], value)
        yield family

    def describe(self) -> Iterator[Metric]:
        """Its name, without reading: asked for when it is registered."""
        yield GaugeMetricFamily(self.name, self.description, labels=["part"])
