"""The collector's own health as metrics in its own store, beside ``/metrics``: what a dashboard can draw over time."""

import time

from prometheus_client import CollectorRegistry

from collector.sampling.cumulative import Beginnings
from collector.sampling.sample import Sample
from collector.settling.settle import Settler
from conventions.instruments import Instrument

INTERVAL_S = 10.0
PREFIX = "tokenjoule_collector_"
LEFT_OUT = ("_bucket", "_created", "settle_lag_seconds")  # the last one has a sample of its own


class SelfWatch:
    """Every counter and gauge of ``registry``, one metric per label value, and how settlement keeps up."""

    def __init__(self, registry: CollectorRegistry, settler: Settler) -> None:
        self._registry = registry
        self._settler = settler
        self._beginnings = Beginnings()

    def read(self) -> list[Sample]:
        """All of them now."""
        now_ns = time.time_ns()
        found = [
            self._sample(_name(line.name, line.labels), line.value, family.type == "gauge", now_ns)
            for family in self._registry.collect()
            for line in family.samples
            if not line.name.endswith(LEFT_OUT)
        ]
        lag = self._sample("settle_lag_s", self._settler.lag_s, True, now_ns)
        return [*found, lag, self._sample("late_spans", float(self._settler.late_spans), False, now_ns)]

    def _sample(self, name: str, value: float, is_gauge: bool, now_ns: int) -> Sample:
        instrument = Instrument(f"tokenjoule.collector.{name}", "1", "gauge" if is_gauge else "counter", name)
        return Sample(instrument, value, now_ns, None if is_gauge else self._beginnings.start_ns(name, value, now_ns))


def _name(series: str, labels: dict[str, str]) -> str:
    return ".".join((series.removeprefix(PREFIX).removesuffix("_total"), *labels.values()))
